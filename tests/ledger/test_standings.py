"""How it stands with what incidents led to: provisional, pardoned, or neither."""

from __future__ import annotations

from edge.domain import Action, CaseStanding, IncidentState
from edge.ladder import Sanction
from edge.ledger import DurableLedger
from edge.policy import DAY_MS, Policy
from tests.ledger.conftest import NOW, MakeIncident


def test_incidents_say_what_is_provisional_and_what_was_pardoned(
    ledger: DurableLedger, make_incident: MakeIncident
) -> None:
    names = ("anna", "berta", "carla", "dora")
    cuts = {name: make_incident(broadcaster=name) for name in names}
    for cut in cuts.values():
        ledger.record_violation(cut, Sanction(), NOW)
    flag = make_incident("emma", action=Action.FLAG)
    ledger.record_incident(flag, NOW)
    ledger.review(cuts["berta"].id, IncidentState.CONFIRMED, "seen", "rita", NOW + 1, Policy())
    ledger.review(cuts["carla"].id, IncidentState.OVERTURNED, "a dance", "rita", NOW + 1, Policy())
    [strike] = ledger.strikes_of("dora")
    ledger.pardon_strike(Policy(), strike.id, "grace", "rita", NOW + 1)
    ids = {name: cut.id for name, cut in cuts.items()}
    standings = ledger.standings([*ids.values(), flag.id], NOW + 2)
    assert {name: standings[ids[name]] for name in names} == {
        "anna": CaseStanding(provisional=True),
        "berta": CaseStanding(),
        "carla": CaseStanding(pardoned=True),
        "dora": CaseStanding(pardoned=True),
    }
    assert standings[flag.id] == CaseStanding()
    assert ledger.standings([ids["anna"]], NOW + 2 * DAY_MS) == {ids["anna"]: CaseStanding()}
