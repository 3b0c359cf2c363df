"""Who gets a place, and who loses one for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import NoPlace
from edge.places import Places, network_of

LIMITS = {"own": 2, "network": 3, "all": 4}


def keys(own: str, network: str | None = None) -> dict[str, str | None]:
    return {"own": own, "network": network, "all": ""}


def test_the_oldest_idle_of_the_narrowest_limit_goes_first() -> None:
    places: Places[int] = Places(LIMITS)
    for holder, own in enumerate("baab"):
        assert places.take(holder, keys(own)) == []
    for holder in (2, 0, 1):
        places.idle(holder)
    assert places.take(4, keys("a")) == [2], "its own, though all are taken as well"
    assert places.take(5, keys("c")) == [0]
    places.busy(1)
    with pytest.raises(NoPlace, match="all: all 4 places are taken"):
        places.take(6, keys("c"))


def test_nothing_changes_when_there_is_no_place() -> None:
    places: Places[int] = Places(LIMITS)
    for holder, own in enumerate("abcd"):
        places.take(holder, keys(own, "net" if own in "abc" else None))
    places.idle(3)
    with pytest.raises(NoPlace) as caught:
        places.take(4, keys("e", "net"))
    assert caught.value.limit == "network"
    assert len(places) == 4
    places.give_back(0)
    assert places.take(4, keys("e", "net")) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["take", "idle", "busy", "give_back"]), st.integers(0, 9), st.sampled_from("abc")
        ),
        max_size=80,
    )
)
def test_no_limit_is_ever_passed_and_nothing_is_left_behind(steps: list[tuple[str, int, str]]) -> None:
    places: Places[int] = Places(LIMITS)
    held: dict[int, str] = {}
    idle: list[int] = []
    for step, holder, own in steps:
        if step == "take" and holder not in held:
            try:
                gone = places.take(holder, keys(own))
            except NoPlace:
                continue
            for loser in gone:
                assert loser in idle
                idle.remove(loser)
                del held[loser]
            held[holder] = own
        elif step == "idle" and holder in held and holder not in idle:
            places.idle(holder)
            idle.append(holder)
        elif step == "busy":
            places.busy(holder)
            idle = [other for other in idle if other != holder]
        elif step == "give_back":
            places.give_back(holder)
            held.pop(holder, None)
            idle = [other for other in idle if other != holder]
        assert len(places) == len(held) <= LIMITS["all"]
        assert all(list(held.values()).count(own) <= LIMITS["own"] for own in "abc")
    for holder in list(held):
        places.give_back(holder)
    assert not places._held
    assert not places._idle


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("a host", None),
    ],
)
def test_networks(address: str, network: str | None) -> None:
    assert network_of(address) == network
