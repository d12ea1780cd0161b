from pathlib import Path

import pytest

from repro.errors import UserError
from repro.pipeline.cluster import RESERVED, Cluster
from repro.pipeline.slurm import options
from repro.schema import Resources

PROFILES = sorted((Path(__file__).parents[2] / "slurm" / "clusters").glob("*.yaml"))


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_the_profiles_people_copy_are_valid(path):
    assert Cluster.load(path).name == path.stem


def test_every_key_is_explained_where_people_look():
    text = next(path for path in PROFILES if path.name == "a100.yaml").read_text()
    assert [key for key in Cluster.model_fields if f"{key}:" not in text] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\npartiton: cpu\n", ":2: partiton: unknown key 'partiton' (did you mean "
                                     "'partition'?)"),
        ("partition: cpu\n", "name: is missing"),
        ("name: x\nmax_jobs: many\n", ":2: max_jobs: must be a valid integer, got 'many'"),
        ("name: x\nmax_jobs: 0\n", ":2: max_jobs: must be greater than or equal to 1, got 0"),
        ("name: x\ngpu_flag: gpus\n", ":2: gpu_flag: must be 'gres' or 'gpus-per-node', got"),
        ("name: x\nsetup: module load cuda\n", ":2: setup: must be a valid list, got 'module load"),
        ("name: x\nenv:\n  A: a\n  2B: b\n", ":4: env.2B: string should match pattern"),
        ("name: x\npartition: 'a b'\n", ":2: partition: string should match pattern"),
        ("name: x\nrequeue: 1\n", ":2: requeue: must be a valid boolean, got 1"),
        ("name: x\nextra: {dependency: singleton}\n", ":2: extra: dependency is set by the "
                                                        "suite itself"),
        ("name: x\nextra: {Hold: true}\n", ": string should match pattern"),
        ("- name\n", ": must be a mapping of keys, got list"),
        ("name: [\n", ":2: not readable as YAML"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path, text, message):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        Cluster.load(path)
    assert f"{path}" in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_misspelt_file_comes_with_the_nearest_name():
    with pytest.raises(UserError, match=r"a10.yaml: no such file .did you mean 'a100.yaml'"):
        Cluster.load(PROFILES[0].with_name("a10.yaml"))


def site(**keys):
    return Cluster(name="site", **keys)


def need(**keys):
    return Resources(minutes=10, **keys)


@pytest.mark.parametrize(
    ("cluster", "resources", "runs", "expected"),
    [
        (site(), need(), 1, {"time": "10", "nodes": "1", "ntasks-per-node": "1", "mem": "2048MB",
                             "cpus-per-task": "1", "requeue": None, "signal": "USR2@120"}),
        (site(time_factor=1.5), need(), 3, {"time": "45"}),
        (site(partition="cpu", gpu_partition="gpu"), need(), 1, {"partition": "cpu"}),
        (site(partition="cpu", gpu_partition="gpu"), need(gpus=1), 1, {"partition": "gpu",
                                                                     "gres": "gpu:1"}),
        (site(gres_type="a100"), need(gpus=2), 1, {"gres": "gpu:a100:2"}),
        (site(gres_type="h100", gpu_flag="gpus-per-node"), need(gpus=1), 1,
         {"gpus-per-node": "h100:1"}),
        (site(), need(gpus=1, nodes=2, tasks=8, cpus=6, memory_gb=64), 1,
         {"nodes": "2", "ntasks-per-node": "4", "gres": "gpu:4", "cpus-per-task": "6",
          "mem": "65536MB"}),
        (site(account="a", qos="q", constraint="c", reservation="r", exclusive=True), need(), 1,
         {"account": "a", "qos": "q", "constraint": "c", "reservation": "r", "exclusive": None}),
        (site(requeue=False), need(), 1, {"no-requeue": None}),
        (site(use_srun=False, signal_s=60), need(), 1, {"signal": "B:USR2@60"}),
        (site(extra={"mail-type": "FAIL", "hold": True, "nice": 5, "x": False}), need(), 1,
         {"mail-type": "FAIL", "hold": None, "nice": "5"}),
    ],
)
def test_options_of_sbatch(cluster, resources, runs, expected):
    found = options(cluster, resources, runs)
    assert found | expected == found
    assert "x" not in found


def test_what_is_not_asked_for_is_not_said():
    assert sorted(options(site(), need(), 1)) == [
        "cpus-per-task", "mem", "nodes", "ntasks-per-node", "requeue", "signal", "time"]


def test_no_further_option_can_undo_what_the_suite_relies_on():
    for option in RESERVED:
        with pytest.raises(ValueError, match="set by the suite"):
            site(extra={option: "x"})
