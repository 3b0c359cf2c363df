"""The policy that operators tune: one file for each part, and the whole in ``policy``."""

from __future__ import annotations

from edge.policy.belief import BeliefPolicy, FalseAlarms, log_odds_of, probability_of
from edge.policy.category import CategoryPolicy, explain_category, rates_of
from edge.policy.crisis import CrisisPolicy
from edge.policy.evidence import EvidencePolicy
from edge.policy.exchange import DEFAULT_EXCHANGES, ExchangeOpinion, ExchangeRule, rule_for
from edge.policy.failure import FailureMode, FailurePolicy
from edge.policy.guards import GuardPolicy, SourceRule, explain_guards
from edge.policy.ladder import LadderPolicy, StrikeScope
from edge.policy.match import MatchPolicy
from edge.policy.mode import Mode, explain_mode
from edge.policy.names import NameCase, NamesPolicy
from edge.policy.overrides import MAX_OVERRIDES, TENANT_ATTRIBUTE, Patch, merge_patch
from edge.policy.part import DAY_MS
from edge.policy.policy import MAX_POLICY_BYTES, Policy, parse_policy
from edge.policy.queue import PriorityWeights, QueuePolicy
from edge.policy.review import MAX_REOPEN_MS, ReviewPolicy, SecondLevel, UnreviewedOutcome
from edge.policy.rules import Condition, When, WitnessRule, attack_rules, explain_rule
from edge.policy.sampling import DecodingPolicy, LookPolicy, TierPolicy
from edge.policy.sharing import SharingPolicy

__all__ = [
    "DAY_MS",
    "DEFAULT_EXCHANGES",
    "MAX_OVERRIDES",
    "MAX_POLICY_BYTES",
    "MAX_REOPEN_MS",
    "TENANT_ATTRIBUTE",
    "BeliefPolicy",
    "CategoryPolicy",
    "Condition",
    "CrisisPolicy",
    "DecodingPolicy",
    "EvidencePolicy",
    "ExchangeOpinion",
    "ExchangeRule",
    "FailureMode",
    "FailurePolicy",
    "FalseAlarms",
    "GuardPolicy",
    "LadderPolicy",
    "LookPolicy",
    "MatchPolicy",
    "Mode",
    "NameCase",
    "NamesPolicy",
    "Patch",
    "Policy",
    "PriorityWeights",
    "QueuePolicy",
    "ReviewPolicy",
    "SecondLevel",
    "SharingPolicy",
    "SourceRule",
    "StrikeScope",
    "TierPolicy",
    "UnreviewedOutcome",
    "When",
    "WitnessRule",
    "attack_rules",
    "explain_category",
    "explain_guards",
    "explain_mode",
    "explain_rule",
    "log_odds_of",
    "merge_patch",
    "parse_policy",
    "probability_of",
    "rates_of",
    "rule_for",
]
