from tests.unit.decide.bed import alert, playbook, scene


async def test_smoke():
    s = scene(playbook())
    await s.turn(alert())
    assert s.world.run.target == "http/checkout"
    assert s.world.verdicts() == ["run"]
    assert len(s.world.open_incidents()) == 1
