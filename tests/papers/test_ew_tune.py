"""What papers/ew_tune compares is what it says: only the accountant, nothing private in what is
public, kept budgets."""

from functools import partial
from pathlib import Path

import pytest

from repro.config import resolved
from repro.config.build import build
from repro.privacy import accountants
from repro.privacy.accountants import Regime

ROOT = Path(__file__).parents[2]
PRIVATE = ("dp_rdp", "dp_ew", "dp_prv", "dp_rdp_eps1", "dp_ew_eps1", "dp_ew_eps3", "dp_plain")


def config(arm: str, stage: str, profile: str = "mini") -> dict:
    return resolved.load(ROOT / f"papers/ew_tune/resolved/{profile}")["arms"][arm][stage]["config"]


@pytest.mark.parametrize("profile", ["mini", "paper"])
def test_private_arms_differ_in_accountant_budget_and_carriers_only(profile) -> None:
    base = config("dp_rdp", "finetune", profile)
    allowed = {"dp_ew": {"accountant"}, "dp_prv": {"accountant"}, "dp_rdp_eps1": {"epsilon"},
               "dp_ew_eps1": {"accountant", "epsilon"}, "dp_ew_eps3": {"accountant", "epsilon"},
               "dp_plain": {"accountant", "rank"}}
    for arm, expected in allowed.items():
        ours = config(arm, "finetune", profile)
        assert {key for key in ours if ours[key] != base[key]} == expected, arm
    for one, two in (("dp_rdp_eps1", "dp_ew_eps1"), ("dp_ew", "dp_plain")):
        assert config(one, "finetune")["epsilon"] == config(two, "finetune")["epsilon"]
    names = {arm: config(arm, "finetune", profile)["accountant"]["_ref"] for arm in PRIVATE}
    assert names["dp_rdp"].endswith(".rdp") and names["dp_prv"].endswith(".prv")
    assert names["dp_ew"] == "papers.ew_tune.method.edgeworth"
    assert config("nonprivate", "finetune", profile)["accountant"] is None


def test_what_is_public_reads_no_private_text() -> None:
    data = config("dp_ew", "data")
    assert data["tasks"] == {}
    assert [source["_ref"] for source in data["sources"]] == ["repro.data.corpora.wiki_leads"]
    assert config("dp_ew", "finetune")["tasks"].keys() == {"gloss"}


@pytest.mark.parametrize("arm", ["dp_ew", "dp_ew_eps1", "dp_ew_eps3"])
def test_the_noise_of_mini_keeps_the_budget_by_an_independent_accountant(arm) -> None:
    """The Edgeworth estimate is no guarantee: where it asks for too little, mini may not use it."""
    chosen = config(arm, "finetune")
    run = Regime(examples=chosen["tasks"]["gloss"]["train"], batch_size=chosen["batch_size"],
                 epochs=chosen["epochs"], epsilon=chosen["epsilon"], delta=chosen["delta"])
    noise = run.noise(build(chosen["accountant"], ROOT))
    assert noise < run.noise(accountants.rdp)
    error = 0.001  # the bound of PRV lies so much above its estimate
    assert run.spent(partial(accountants.prv, error=error), noise) - error <= run.epsilon


def test_no_delta_is_above_one_over_the_examples() -> None:
    for profile in ("mini", "paper"):
        for arm in PRIVATE:
            delta = config(arm, "finetune", profile)["delta"]
            sizes = {"mnli": 392702, "qnli": 104743, "qqp": 363849, "sst2": 67349}
            for task, value in (delta or {}).items():
                assert value <= 1 / sizes[task]
    for regime in config("dp_ew", "eval")["regimes"].values():
        assert regime["delta"] <= 1 / regime["examples"]
