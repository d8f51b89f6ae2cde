"""Retention rules of laws and guidelines, to begin with: loaded inactive, each with where it comes from.

They are facts as found, not advice: whoever activates one answers for it.
"""

from django.db import transaction

from policies import audit, versions
from policies.models import Category, Intent, RetentionRule

Clock = RetentionRule.Clock
CODE = "NHS Records Management Code of Practice, as summarised by the RCR in March 2025"
SHORT = (
    "No law sets a period for copies of images that another hospital keeps; PACS administrators in the UK report two "
    "weeks to one year (imaging forum, 'External imaging retention'). The original stays with its source"
)

RULES = [
    {
        "name": "US mammography, 10 years",
        "priority": 100,
        "modality": "MG",
        "period": "P10Y",
        "clock": Clock.STUDY_DATE,
        "note": "21 CFR 900.12(c)(4)(i): at least 10 years if no further mammogram is made at the facility; states may "
        "ask for longer.",
    },
    {
        "name": "US mammography, 5 years",
        "priority": 110,
        "modality": "MG",
        "period": "P5Y",
        "clock": Clock.STUDY_DATE,
        "note": "21 CFR 900.12(c)(4)(i): at least 5 years where the patient comes back for further mammograms. Which "
        "of the two holds the portal cannot know: activate one.",
    },
    {
        "name": "US hospitals, 5 years",
        "priority": 200,
        "period": "P5Y",
        "clock": Clock.STUDY_DATE,
        "note": "42 CFR 482.26(d): reports, films and scans at least 5 years. Many states ask for longer, and for more "
        "for minors: set the birthday.",
    },
    {
        "name": "England, mammography screening",
        "priority": 300,
        "modality": "MG",
        "period": "P10Y",
        "clock": Clock.STUDY_DATE,
        "note": f"{CODE}: screening, mammography too, 10 years from acquisition.",
    },
    {
        "name": "England, seen at 17",
        "priority": 310,
        "from_age": 17,
        "under": 18,
        "period": "P8Y",
        "clock": Clock.VIEWED,
        "birthday": 26,
        "note": f"{CODE}: until the 26th birthday if the patient was 17 when last seen.",
    },
    {
        "name": "England, children",
        "priority": 320,
        "under": 17,
        "period": "P8Y",
        "clock": Clock.VIEWED,
        "birthday": 25,
        "note": f"{CODE}: until the 25th birthday.",
    },
    {
        "name": "England, adults",
        "priority": 330,
        "from_age": 18,
        "period": "P8Y",
        "clock": Clock.VIEWED,
        "note": f"{CODE}: 8 years after last seen. Cancer, transplants and others are kept for longer: see the code.",
    },
    {
        "name": "RCR, all images",
        "priority": 340,
        "period": "P30Y",
        "clock": Clock.VIEWED,
        "note": "Royal College of Radiologists, March 2025: simplest is to keep all images 30 years from last seen, or "
        "10 years after death (which the portal does not know).",
    },
    {
        "name": "France",
        "priority": 400,
        "period": "P20Y",
        "clock": Clock.VIEWED,
        "birthday": 28,
        "note": "20 years after the last visit, or until the age of 28 if that ends later (AuntMinnieEurope 2013).",
    },
    {
        "name": "Outside images for reference, 30 days",
        "priority": 500,
        "intent": Intent.REFERENCE,
        "period": "P30D",
        "clock": Clock.VIEWED,
        "note": f"{SHORT}.",
    },
    {
        "name": "Outside images for reference, 6 months",
        "priority": 510,
        "intent": Intent.REFERENCE,
        "period": "P6M",
        "clock": Clock.VIEWED,
        "note": f"{SHORT}.",
    },
    {
        "name": "Outside images, 1 year after the last look",
        "priority": 520,
        "period": "P1Y",
        "clock": Clock.VIEWED,
        "note": f"{SHORT}. What was used for a decision or read again is part of the record and falls under its rules.",
    },
    {
        "name": "Teleradiology, 30 days",
        "priority": 530,
        "category": Category.TELERADIOLOGY,
        "period": "P30D",
        "clock": Clock.REPORTED,
        "note": f"{SHORT}. A copy that was only read for others is not kept by us.",
    },
]


def load(*, by) -> list[RetentionRule]:
    """Those that are not here yet, by their names."""
    known = set(RetentionRule.objects.values_list("name", flat=True))
    made = []
    with transaction.atomic():
        for columns in RULES:
            if columns["name"] not in known:
                rule = RetentionRule.objects.create(active=False, **columns)
                versions.keep(rule, by=by, why="Loaded from the rules of laws and guidelines.")
                audit.record(by, "add", rule, detail={"new": {name: str(value) for name, value in columns.items()}})
                made.append(rule)
    return made
