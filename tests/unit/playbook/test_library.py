"""The snapshot of all playbooks: each file stands alone."""

from pathlib import Path

import pytest

from responder.app import catalogue
from responder.language.yaml_builder import MAX_BYTES
from responder.playbook.build import revision_of
from responder.playbook.library import Library, load_library
from tests.bed.playbooks import change_item
from tests.unit.playbook.fakes import CATALOGUE, MINIMAL

BROKEN = "name: broken\nmatchers: []\n"


def named(name: str, *, alertname: str = "HighLoad", priority: int = 100) -> str:
    text = MINIMAL.replace("scale-out", name).replace("HighLoad", alertname)
    return f"{text}priority: {priority}\n"


def write(folder: Path, **texts: str) -> None:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def load(folder: Path, **last_good: str) -> Library:
    kept = {str(folder / f"{name}.yaml"): (revision_of(text), text) for name, text in last_good.items()}
    return load_library([folder], CATALOGUE, None, kept)


def rules(library: Library, file: Path) -> list[str]:
    return [complaint.rule for complaint in library.complaints.get(str(file), ())]


def test_candidates_come_by_priority_and_then_by_name(tmp_path: Path) -> None:
    write(tmp_path, a=named("zebra"), b=named("ape"), c=named("first", priority=1), d=named("other", alertname="X"))
    found = load(tmp_path).candidates({"alertname": "HighLoad"})
    assert [playbook.name for playbook in found] == ["first", "ape", "zebra"]
    assert load(tmp_path).candidates({"alertname": "Nothing"}) == []


def test_a_bad_file_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    write(tmp_path, good=named("good"), bad=BROKEN)
    library = load(tmp_path)
    assert list(library.playbooks) == ["good"]
    assert library.errors == {str(tmp_path / "bad.yaml"): 1}
    assert library.stale == frozenset()


def test_the_last_good_version_of_a_bad_file_keeps_running(tmp_path: Path) -> None:
    write(tmp_path, a="name: [", b=named("b"))
    library = load(tmp_path, a=named("a", priority=7))
    assert set(library.playbooks) == {"a", "b"}
    assert library.playbooks["a"].priority == 7
    assert library.stale == {str(tmp_path / "a.yaml")}
    assert rules(library, tmp_path / "a.yaml")
    assert [playbook.name for playbook in library.candidates({"alertname": "HighLoad"})] == ["a", "b"]


def test_a_last_good_version_that_no_longer_loads_is_absent(tmp_path: Path) -> None:
    write(tmp_path, a=BROKEN)
    assert load(tmp_path, a=BROKEN).playbooks == {}


def test_a_deleted_file_is_gone_whatever_was_kept_of_it(tmp_path: Path) -> None:
    assert load(tmp_path, a=named("a")).playbooks == {}


def test_a_good_file_wins_over_the_last_good_version_of_another(tmp_path: Path) -> None:
    write(tmp_path, a=BROKEN, b=named("moved", priority=1))
    library = load(tmp_path, a=named("moved", priority=2))
    assert library.playbooks["moved"].priority == 1
    assert library.stale == frozenset()


def test_a_duplicate_name_is_an_error_with_both_positions_and_neither_runs(tmp_path: Path) -> None:
    write(tmp_path, a=f"summary: x\n{named('twin')}", b=named("twin"), c=named("single"))
    library = load(tmp_path)
    assert list(library.playbooks) == ["single"]
    (first,) = library.complaints[str(tmp_path / "a.yaml")]
    (second,) = library.complaints[str(tmp_path / "b.yaml")]
    assert (first.rule, first.line, second.line) == ("duplicate-name", 2, 1)
    assert f"{tmp_path / 'b.yaml'}:1:7" in first.message
    assert f"{tmp_path / 'a.yaml'}:2:7" in second.message


def test_a_new_duplicate_does_not_stop_the_one_that_was_there(tmp_path: Path) -> None:
    write(tmp_path, a=named("twin", priority=1), b=named("twin", priority=2))
    library = load(tmp_path, b=named("twin", priority=2))
    assert library.playbooks["twin"].priority == 2
    assert set(library.errors) == {str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")}


@pytest.mark.parametrize(
    "name",
    ["..data/a.yaml", ".hidden.yaml", "..2026.yaml", "a.test.yaml", "a.test.yml", "a.txt", "a.yaml~", "yaml"],
)
def test_what_is_no_playbook_is_passed_over(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(BROKEN, encoding="utf-8")
    library = load(tmp_path)
    assert library.files == ()
    assert library.complaints == {}


def test_folders_are_read_to_the_bottom_through_the_links_of_a_config_map(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "a.yaml").write_text(named("mounted"), encoding="utf-8")
    (tmp_path / "a.yaml").symlink_to(tmp_path / "..data" / "a.yaml")
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "b.yml").write_text(named("below"), encoding="utf-8")
    assert set(load(tmp_path).playbooks) == {"mounted", "below"}


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path, a=named("a"))
    library = load_library([tmp_path, tmp_path / "a.yaml"], CATALOGUE, None, {})
    assert len(library.files) == 1
    assert library.errors == {}


def test_a_missing_folder_is_a_complaint(tmp_path: Path) -> None:
    library = load(tmp_path / "none")
    assert rules(library, tmp_path / "none") == ["missing-folder"]


def test_what_was_in_use_below_a_folder_that_is_gone_stays_in_use(tmp_path: Path) -> None:
    folder, other = tmp_path / "mounted", tmp_path / "other"
    other.mkdir()
    write(other, b=named("b"))
    kept = {str(one): (revision_of(text), text) for one, text in (
        (folder / "a.yaml", named("a")), (folder / "deep" / "c.yaml", named("c")), (folder / "old.yaml", named("old")),
        (other / "deleted.yaml", named("deleted")),
    )}  # fmt: skip
    used = [str(folder / "a.yaml"), str(folder / "deep" / "c.yaml"), str(other / "deleted.yaml")]
    library = load_library([folder, other], CATALOGUE, None, kept, used)
    assert set(library.playbooks) == {"a", "b", "c"}
    assert library.stale == {str(folder / "a.yaml"), str(folder / "deep" / "c.yaml")}
    assert library.errors == {str(folder): 1}
    assert set(load_library([folder, other], CATALOGUE, None, kept).playbooks) == {"b"}  # as at a start
    folder.write_text("no folder", encoding="utf-8")
    library = load_library([folder, other], CATALOGUE, None, kept, used)
    assert (set(library.playbooks), library.errors) == ({"a", "b", "c"}, {str(folder): 1})
    assert set(load_library([other], CATALOGUE, None, kept, used).playbooks) == {"b"}  # it is configured no more


def test_a_file_that_cannot_be_read_is_a_complaint(tmp_path: Path) -> None:
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    library = load(tmp_path)
    assert rules(library, tmp_path / "dangling.yaml") == ["unreadable"]
    assert rules(library, tmp_path / "large.yaml") == ["yaml-too-large"]
    assert rules(library, tmp_path / "latin.yaml") == ["yaml-encoding"]


@pytest.mark.parametrize(
    ("send", "target", "apart"),
    [
        ("PATCH /admin/{{labels.item}}", "http/checkout/{{ labels.other }}", True),
        ("PATCH /admin/{{labels.item}}", "http/checkout/{{labels.item}}", False),
        ("PUT /admin/7", "http/checkout/7", False),
        ("PATCH /admin/7", "http/checkout/8", True),
        ("PUT /admin/7/size", "http/checkout/8", False),
        ("POST /admin/7", "http/checkout/8", False),
    ],
)
def test_one_resource_may_be_written_in_two_ways(tmp_path: Path, send: str, target: str, *, apart: bool) -> None:
    write(tmp_path, one=change_item("one"), other=change_item("other"))
    path, at = tmp_path / "other.yaml", "target: http/checkout/{{ labels.item }}"
    text = path.read_text().replace("PUT /admin/{{ labels.item }}", send).replace(at, f"target: {target}")
    path.write_text(text)
    found = load_library([tmp_path], catalogue(), None, {}).complaints
    warned = {Path(file).stem for file, said in found.items() if "targets-apart" in {one.rule for one in said}}
    assert warned == ({"one", "other"} if apart else set())


def test_two_that_change_one_thing_under_targets_apart_are_warned_of(tmp_path: Path) -> None:
    one = change_item("one")
    write(tmp_path, one=one, same=change_item("same"), above=change_item("above"), apart=change_item("apart"))
    for name, target in (("above", "http/checkout"), ("apart", "http/checkout/{{ labels.other }}")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(path.read_text().replace("target: http/checkout/{{ labels.item }}", f"target: {target}"))
    library = load_library([tmp_path], catalogue(), None, {})
    found = {Path(file).stem: rule for file, (rule,) in library.complaints.items()}
    assert found.keys() == {"one", "same", "apart"}
    assert {(one.rule, one.severity) for one in found.values()} == {("targets-apart", "warning")}
    assert "one does PUT /admin/{{ labels.item }} of checkout as well" in found["apart"].message
    assert len(library.playbooks) == 4
