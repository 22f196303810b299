# Two commands matter: `make lab` to read the book, `make test` to check it. `make help` lists the rest.
# Without make (Windows): see "Without make" in README.md.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
# What the tests may keep busy: one worker a core, each with one thread.
WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help lab setup test unit website models notebooks lint sync book-run bench book serve pdf

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

lab: $(READY)  ## open JupyterLab on the book
	$(BIN)/jupyter lab chapters/01_language_models.ipynb

setup: $(READY)  ## make .venv and install requirements.txt (about two minutes)

$(READY): requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $(READY)

test: unit website models notebooks  ## unit tests, the website, then every notebook under nbval

unit: $(READY)  ## unit tests alone
	$(BIN)/python -m pytest -n $(WORKERS) tests --ignore tests/site

website: $(READY)  ## build the site and look at each page in Chromium or Chrome
	$(BIN)/python -m pytest -n $(WORKERS) tests/site

models: $(READY)  ## train the book's models, once (about five minutes), and keep them
	$(BIN)/python -c "from minillm import zoo; [zoo.load(name) for name in zoo.RECIPES]"

notebooks: $(READY)  ## run every notebook and compare the outputs that must not change
	$(BIN)/python -m pytest --nbval-lax -n $(WORKERS) --dist loadscope chapters solutions

book: $(READY)  ## the book as a website, in build/site
	$(BIN)/python site/website.py html

serve: $(READY)  ## the same, at http://localhost:8000
	$(BIN)/python site/website.py serve

pdf: $(READY)  ## the whole book as build/book.pdf (needs Chromium or Chrome)
	$(BIN)/python site/website.py pdf

lint: $(READY)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

sync: $(READY)  ## bring each .ipynb and its .md to the same text
	$(BIN)/python scripts/book.py sync

book-run: $(READY)  ## run every notebook afresh, keep its outputs, update book.yml and README
	$(BIN)/python scripts/book.py execute
	$(BIN)/python scripts/book.py table

bench: $(READY)  ## all benchmarks: ratios, each measured within one run
	@for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
