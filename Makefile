SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

# Any Python from 3.11 on; the system's own comes first.
find_python = for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done
PYTHON ?= $(or $(shell $(find_python)),python3)

VENV := .venv
READY := $(VENV)/.ready
PYTEST := $(VENV)/bin/python -m pytest -q -n 2 --dist loadfile
PEERS := dcmtk orthanc orthanc-dicomweb dicom3tools chromium fonts-dejavu-core postgresql openssl strace

.PHONY: help demo test bench check lock peers

help:  ## Say what can be made
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(READY)  ## Run the whole portal with demo data until Ctrl-C
	@exec deploy/in-foreground $(VENV)/bin/python manage.py demo

test: $(READY) peers  ## Run every test, on SQLite and then on PostgreSQL
	@status=0
	echo "== Tests on SQLite"; env -u DATABASE_URL $(PYTEST) || status=$$?
	echo "== Tests on PostgreSQL"; deploy/with-postgres $(PYTEST) -m "not once" || status=$$?
	exit $$status

bench: $(READY)  ## Print the performance table, measured against named peers
	@$(VENV)/bin/python manage.py bench

check: $(READY)  ## Lint, formatting, system checks, missing migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/python manage.py check
	$(VENV)/bin/python manage.py makemigrations --check --dry-run

lock: $(READY)  ## Write requirements.lock anew from pyproject.toml
	$(VENV)/bin/python -m pip install -qq uv
	$(VENV)/bin/uv pip compile --quiet --upgrade --extra dev --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

# The peers that the wire and browser tests talk to; without them those tests are skipped, and say so.
peers:
	@deploy/install-system-packages --needed-for "the wire, browser and PostgreSQL tests" $(PEERS)

$(READY): requirements.lock
	@PYTHON=$(PYTHON) deploy/install-system-packages --needed-for "the virtual environment" python3-venv
	echo "Setting up $(VENV) ..."
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -qq --no-input --disable-pip-version-check \
		--require-hashes --requirement requirements.lock
	touch $@
