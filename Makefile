# What the makers of the template need. `make` alone lists it.
VENV ?= .venv
DOCS = .venv-docs
PY = "$(VENV)/bin/python"
SHELL_DIR = {{cookiecutter.project_slug}}
export PYTHONPATH := $(CURDIR)/$(SHELL_DIR)/src
.DEFAULT_GOAL := help

help: ## list the commands
	@awk 'BEGIN { FS = ":[^#]*## " } /^[a-z-]+:[^#]*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

# One environment holds what every kind needs and the makers' tools; generated projects share it in the tests.
$(VENV)/.ready: requirements-dev.lock
	@python3 "$(SHELL_DIR)/scripts/setup_env.py" --venv "$(VENV)" --python 3.11 --lock requirements-dev.lock

# Below the checkout lies this repository, which the demo must not take for its own, so it sets a ceiling.
demo: $(VENV)/.ready ## generate the sklearn kind into .demo/, run dev-run and experiment there
	@rm -rf .demo
	@GIT_CEILING_DIRECTORIES="$(CURDIR)/.demo" $(PY) -m cookiecutter --no-input --output-dir .demo . \
	  project_name="Digits" kind=sklearn
	@unset PYTHONPATH; $(MAKE) --no-print-directory -C .demo/digits VENV=.venv dev-run
	@unset PYTHONPATH; $(MAKE) --no-print-directory -C .demo/digits VENV=.venv experiment TAG=e0.0.1 MSG="first look"
	@echo "The repository is in .demo/digits, its results in .demo/digits/results/benchmark.db"

test: $(VENV)/.ready ## every test but the slow ones
	@$(PY) -m pytest -q -n auto --dist loadscope -m "not slow" tests

test-rigour: $(VENV)/.ready ## simulations: does every verdict err as seldom as it says?
	@$(PY) -m pytest -q -rP tests/rigour

test-slow: $(VENV)/.ready ## the tests that take minutes
	@$(PY) -m pytest -q -m slow tests

test-docs: $(VENV)/.ready ## follow every page of docs/ and every AGENTS.md, command by command
	@$(PY) -m pytest -q -m slow tests/template/test_docs.py tests/template/test_guide.py

# The site's tools have an environment of their own; a build asks nothing of the network.
$(DOCS)/.ready: requirements-docs.lock
	@python3 -m venv --clear "$(DOCS)"
	@"$(DOCS)/bin/python" -m pip install --quiet --require-hashes --requirement requirements-docs.lock
	@touch $@

docs: $(DOCS)/.ready ## the site of docs/, into .site/
	@NO_MKDOCS_2_WARNING=1 "$(DOCS)/bin/python" -m mkdocs build --strict --quiet
	@echo "open .site/index.html"

# One lock over the other, in an environment of its own: half the size of the first comes on top.
REMOTES = .venv-remotes
$(REMOTES)/.ready: requirements-dev.lock requirements-remotes.lock
	@cat $^ > requirements-both.lock
	@python3 "$(SHELL_DIR)/scripts/setup_env.py" --venv "$(REMOTES)" --python 3.11 --lock requirements-both.lock

test-remotes: $(REMOTES)/.ready ## the tests of S3 and SSH, which need packages of their own
	@"$(REMOTES)/bin/python" -m pytest -q -m slow tests/harness/test_versions_remotes.py

HARNESS_TESTS = tests/harness/
FAULTS = tests/faults $(addprefix $(HARNESS_TESTS), test_killed.py test_workers_that_die.py test_damaged_database.py \
  test_leftover_log.py test_written_during_a_run.py test_dask.py test_clocks.py test_published.py \
  test_bad_input.py::test_a_database_that_another_run_is_writing_to \
  test_bad_input.py::test_nothing_else_writes_while_an_experiment_is_scored \
  test_bad_input.py::test_a_database_that_another_program_has_locked test_bad_input.py::test_a_full_disk \
  test_bad_input.py::test_a_limit_on_the_size_of_files test_bad_input.py::test_an_entry_of_the_cache_that_is_damaged \
  test_bad_input.py::test_a_cache_that_is_damaged_as_a_whole test_tag.py::test_killed_around_the_commit_and_resumed)

test-faults: $(VENV)/.ready ## kills, signals, full disks, clocks, dying workers, a cluster that loses one; the slow ones too
	@$(PY) -m pytest -q -n auto --dist loadscope $(FAULTS)

# What `make test` leaves out of the fault suite for its length, and no change should land without.
QUICK = tests/faults/test_every_step.py::test_a_signal_at_each_step_in_turn_and_the_next_start_goes_on[kill-some] \
  tests/faults/test_faults.py::test_two_experiments_at_once_in_one_repository \
  tests/faults/test_faults.py::test_git_fails_in_the_middle_of_the_finish[commit] \
  tests/faults/test_faults.py::test_what_is_edited_during_a_run_is_never_tagged[processes] \
  tests/faults/test_surroundings.py::test_a_clock_that_steps_back_during_an_experiment[back] \
  tests/faults/test_surroundings.py::test_results_on_a_file_system_without_locks_are_said_and_stay_whole[ignored]

test-faults-quick: $(VENV)/.ready ## the part of them that takes about a minute
	@$(PY) -m pytest -q -n auto $(foreach test,$(QUICK),"$(test)")

lint: $(VENV)/.ready ## ruff and mypy over harness, kinds, hooks and tests
	@$(PY) -m ruff check . "$(SHELL_DIR)/src/harness"
	@$(PY) -m ruff format --check . "$(SHELL_DIR)/src/harness"
	@$(PY) scripts/seal.py --check
	@$(PY) scripts/reference.py --check
	@$(PY) -m mypy --config-file "$(SHELL_DIR)/pyproject.toml" "$(SHELL_DIR)/src" "$(SHELL_DIR)/scripts"
	@$(PY) -m mypy

bench: $(VENV)/.ready ## how fast, how much memory, against what
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(PY) "$$file" || exit 1; done

locks: $(VENV)/.ready ## resolve requirements-dev.lock and the lock of every kind
	@$(PY) scripts/locks.py

.PHONY: help demo test test-rigour test-slow test-faults test-faults-quick test-docs test-remotes docs lint bench locks
