"""Tasks with real labels from embedded data: functions that return a `TaskData`."""
