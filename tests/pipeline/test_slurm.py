"""What is submitted, and when: the launcher and the driver on a fake Slurm where nothing runs."""

import re
import shlex
import subprocess

import pytest
from fake_site import Site, finish, option
from fake_slurm import DOWN

from repro.errors import UserError
from repro.pipeline import feed
from repro.pipeline.jobs import Busy, Pack, title
from repro.pipeline.queue import Reply
from repro.pipeline.slurm import arrays
from repro.schema import Resources


@pytest.fixture
def site(suite):
    return Site(suite)


def whole(suite, *arms):
    return [spec for arm in arms for spec in suite.specs("eval", arm)]


def test_a_paper_is_one_array_a_stage_each_task_behind_its_own_input(suite, site):
    outcome, said = site.submit(whole(suite, "plain", "fast"))
    assert outcome.exit_code == 0
    assert "13 runs queued, 0 over" in said
    data, pretrain, finetune, evaluate = site.scripts()
    assert [option(script, "array") for script in site.scripts()] == ["0", "0-3", "0-3", "0-3"]
    assert option(data, "dependency") is None
    assert option(pretrain, "dependency") == "afterok:1001_0"
    assert option(finetune, "dependency") == "aftercorr:1002"
    assert option(evaluate, "dependency") == "aftercorr:1003"
    assert option(evaluate, "kill-on-invalid-dep") == "yes"


def test_each_task_runs_what_its_job_record_says(suite, site):
    site.submit(whole(suite, "plain", "fast"))
    for job in suite.store.jobs():
        assert site.slurm.jobs[job["job_id"]].keys == job["keys"]
        for key in job["keys"]:
            assert suite.store.entry(key).read("job") == job
            assert suite.store.entry(key).read("request")["key"] == key


def test_a_task_waits_for_the_run_it_reads(suite, site):
    site.submit(whole(suite, "plain", "fast"))
    by_key = {key: job["job_id"] for job in suite.store.jobs() for key in job["keys"]}
    for spec in whole(suite, "plain", "fast"):
        (finetune,) = spec.inputs["finetune"]
        assert site.slurm.jobs[by_key[spec.key]].after == [by_key[finetune.key]]


def test_asking_again_submits_nothing(suite, site):
    site.submit(whole(suite, "plain"))
    before = site.slurm.calls["sbatch"]
    outcome, _ = site.submit(whole(suite, "plain", "twin"))  # twin has plain's settings
    assert outcome.exit_code == 0
    assert site.slurm.calls["sbatch"] == before


def test_what_is_done_already_is_not_waited_for(evaluated):
    site = Site(evaluated)
    evaluated.resolve(eval={"scale": 2})
    outcome, _ = site.submit(whole(evaluated, "plain"))
    assert outcome.exit_code == 0
    (script,) = site.scripts()
    assert option(script, "dependency") is None
    assert option(script, "job-name").startswith("toy.eval@mini-plain.seed0+1.")


def test_short_runs_share_a_job_and_its_time(evaluated):
    site = Site(evaluated, time_factor=1.5)
    evaluated.seeds([0, 1, 2])
    evaluated.resolve(eval={"scale": 2})
    site.submit(evaluated.specs("eval"))
    script = site.scripts()[-1]
    assert option(script, "time") == "2"  # the seed that has to wait is alone
    (both,) = [job for job in evaluated.store.jobs() if len(job["keys"]) == 2]
    assert site.slurm.jobs[both["job_id"]].options["time"] == "3"


def test_the_job_name_says_what_runs(suite, site):
    site.submit(whole(suite, "plain", "fast"))
    names = [option(script, "job-name").rpartition(".") for script in site.scripts()]
    assert [name for name, _, _ in names] == [
        "toy.data@mini-plain", "toy.pretrain@mini-plain+fast.seed0+1",
        "toy.finetune@mini-plain+fast.seed0+1", "toy.eval@mini-plain+fast.seed0+1"]
    assert len({unique for _, _, unique in names}) == 4


def test_titles_hold_no_character_a_shell_or_slurm_could_mind():
    assert title(["toy/data@mini-a"]) == "toy.data@mini-a"
    assert title(["t/e@mini-a seed0-m1", "t/e@mini-b seed1-m0"]) == "t.e@mini-a+b.seed0-m1+1-m0"
    assert re.fullmatch(r"[A-Za-z0-9@.+_-]+", title(["t/e@mini-$(rm -rf /)|`x` seed0;'\n"]))


def test_the_script_is_valid_shell_and_its_setup_comes_first(suite):
    site = Site(suite, setup=["module() { echo loaded; }", "module load cuda"],
                container=["apptainer", "exec", "my image.sif"], python="/opt/my python",
                env={"NCCL_DEBUG": "WARN; rm x"})
    site.submit(suite.specs("data"))
    (script,) = site.scripts()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert script.index("module load cuda") < script.index("srun")
    words = shlex.split(script[script.index("srun"):])
    assert words[words.index("apptainer"):][:3] == ["apptainer", "exec", "my image.sif"]
    settings = words[words.index("env") + 1:words.index("/opt/my python")]
    assert "NCCL_DEBUG=WARN; rm x" in settings
    assert {"OMP_NUM_THREADS=1", "PYTHONHASHSEED=0", f"PYTHONPATH={suite.root}",
            f"REPRO_ASSETS={suite.root / 'assets'}"} <= set(settings)
    assert settings[:2] == ["-u", "ATEN_CPU_CAPABILITY"]  # the toy's numerics are not pinned


def test_a_store_with_a_blank_and_a_quote_in_its_path(suite):
    store = suite.root / "it's a store"
    (suite.root / ".repro").mkdir(exist_ok=True)
    (suite.root / ".repro" / "settings.yaml").write_text(f'store: "{store}"\n')
    site = Site(suite)
    site.submit(suite.specs("data"))
    (script,) = site.scripts()
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert shlex.split(script[script.index("srun"):])[-1] == str(site.slurm.submitted[0].folder)


def test_without_srun_python_takes_the_place_of_the_script(suite):
    site = Site(suite, use_srun=False)
    site.submit(suite.specs("data"))
    (script,) = site.scripts()
    assert re.search(r"^exec env .* -m submitit.core._submit", script, re.M)
    assert option(script, "signal") == "B:USR2@120"  # to the script itself


def test_the_throttle_is_the_arrays(suite):
    site = Site(suite, array_throttle=2)
    site.submit(whole(suite, "plain", "fast"))
    assert option(site.scripts()[1], "array") == "0-3%2"


def test_no_more_jobs_than_agreed_are_in_the_queue(suite):
    """Two of three fit; the driver stays, and submits the third when there is room."""
    site = Site(suite, max_jobs=3)
    seen = []

    def tick():
        living = [job for job in site.slurm.jobs.values() if job.state == "PENDING"]
        seen.append(len(living))
        for job in living[:1]:
            finish(suite, job)
            job.state = "COMPLETED"

    outcome, _ = site.submit([*suite.specs("pretrain"), *suite.specs("pretrain", "fast")],
                             tick=tick)
    assert outcome.exit_code == 0
    assert max(seen) == 3
    assert len(site.slurm.submitted) == 5


def test_a_refusal_is_one_clear_line(suite):
    site = Site(suite, partition="cqu")
    with pytest.raises(UserError) as caught:
        site.submit(suite.specs("data"))
    assert re.fullmatch(r"site refuses toy\.data@mini-plain\.\w{16}: sbatch: invalid partition "
                        r"specified: cqu", str(caught.value))
    assert not [path for path in (suite.store.root / "jobs").iterdir() if path.is_dir()]


def test_a_full_queue_and_a_silent_controller_are_waited_for(suite, site, monkeypatch):
    monkeypatch.setattr(feed, "_BACK_OFF_S", 0.0)
    site.slurm.most = 0
    asked = []

    def tick():
        asked.append(1)
        if len(asked) == 1:
            site.slurm.most, site.slurm.controller = 10, False
        elif len(asked) == 3:
            site.slurm.controller = True

    outcome, said = site.submit(suite.specs("data"), tick=tick)
    assert outcome.exit_code == 0
    assert "no job is taken now (sbatch: QOSMaxSubmitJobPerUserLimit; Batch job" in said
    assert f"the queue cannot be read ({DOWN})" in said
    assert "the queue can be read again" in said


def test_a_submission_whose_answer_was_lost_is_adopted_not_repeated(suite, site, monkeypatch):
    monkeypatch.setattr(feed, "_BACK_OFF_S", 0.0)
    site.slurm.lost_replies = 1
    outcome, said = site.submit(suite.specs("data"))
    assert outcome.exit_code == 0
    assert "Socket timed out" in said
    assert len(site.slurm.submitted) == 1
    (job,) = suite.store.jobs()
    assert site.slurm.jobs[job["job_id"]].keys == job["keys"]  # it is told what to run


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("sbatch: error: Batch job submission failed: Invalid account or account/partition "
         "combination specified", UserError),
        ("sbatch: error: Batch job submission failed: Requested node configuration is not "
         "available", UserError),
        ("sbatch: error: Memory specification can not be satisfied", UserError),
        ("sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission "
         "failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time "
         "limits)", UserError),
        ("sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: "
         "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
         Busy),
        ("sbatch: error: Batch job submission failed: Unable to contact slurm controller "
         "(connect failure)", Busy),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
         Busy),
        ("sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying", Busy),
        ("sbatch: error: Batch job submission failed: Job dependency problem", Busy),
    ],
)
def test_what_may_work_later_is_told_from_what_never_will(suite, site, monkeypatch, error, kind):
    monkeypatch.setattr(site.slurm, "_sbatch", lambda argv: Reply(1, "", error))
    site.fleet.watcher("slurm")
    spec = suite.specs("data")[0]
    suite.store.prepare(spec, suite.root)
    with pytest.raises(UserError) as caught:
        site.launcher.submit([pack(0, spec=spec)])
    assert isinstance(caught.value, Busy) == (kind is Busy)


def pack(number, *after, spec=None, stage="finetune", **need):
    key = spec.key if spec else str(number)
    return Pack(f"repro-{number}", (key,), (f"toy/{stage}@mini-a seed{number}",), None,
                Resources(minutes=1, **need), "/code", tuple({"job_id": one} for one in after))


def grouped(packs):
    return [(array.dependency, {index: pack.name[6:] for index, pack in array.packs.items()})
            for array in arrays(packs)]


def test_packs_behind_tasks_of_one_array_take_their_indices():
    assert grouped([pack("a", "7_3"), pack("b", "7_0")]) == [("aftercorr:7", {3: "a", 0: "b"})]


def test_two_behind_the_same_task_are_two_arrays():
    packs = [pack("a", "7_0"), pack("b", "7_1"), pack("c", "7_0")]
    assert grouped(packs) == [("aftercorr:7", {0: "a", 1: "b"}), ("aftercorr:7", {0: "c"})]


def test_all_behind_one_task_are_one_array():
    assert grouped([pack("a", "7_0"), pack("b", "7_0")]) == [("afterok:7_0", {0: "a", 1: "b"})]


def test_what_waits_for_several_jobs_shares_an_array_only_with_its_like():
    packs = [pack("a", "7_0", "7_1"), pack("b", "7_1", "7_0"), pack("c", "7_1", "8_0"), pack("d")]
    assert grouped(packs) == [("afterok:7_0:7_1", {0: "a", 1: "b"}), ("afterok:7_1:8_0", {0: "c"}),
                              ("", {0: "d"})]


def test_other_stages_and_other_needs_are_other_arrays():
    packs = [pack("a"), pack("b", stage="eval"), pack("c", memory_gb=9), pack("d")]
    assert [list(names.values()) for _, names in grouped(packs)] == [["a", "d"], ["b"], ["c"]]


def test_an_array_has_no_more_tasks_than_sites_allow():
    assert [len(names) for _, names in grouped([pack(n) for n in range(1201)])] == [500, 500, 201]
