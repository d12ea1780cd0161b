"""Sequential decisions: environments, episodes, demonstrations, learning from them, rollouts."""
