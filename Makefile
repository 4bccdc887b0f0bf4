# make run     the app on http://127.0.0.1:8501 (PORT=9000: another port; HOST=0.0.0.0: for other machines too)
# make cluster the same with two engines in processes of their own, on Ray (RAY_PORT=6380: another port for Ray)
# make test    format, lint, types and all tests; brings the browser they need (WORKERS=1 THREADS=2: one process
#              whose PyTorch uses two threads, instead of three processes with one thread each)
# make lint    format, lint and types only         make tests      all tests, without them
# make bench   the benchmarks, printed as a table; fails if a bound is not met
# make bench-load    what 1 to 100 sessions at once get and use (13 minutes)
# make bench-soak    whether memory grows over thousands of explanations
# make clean   remove caches        make distclean   remove caches, the virtual environment and node_modules
#
# Each sets up .venv by itself; where nothing changed since the last time, nothing is installed.

PORT ?= 8501
HOST ?= 127.0.0.1
RAY_PORT ?= 6379
# One more than a small machine has cores: browser tests wait now and then.
WORKERS ?= 3
THREADS ?= 1
PYTHON_IN_VENV := .venv/bin/python
# Compiled modules are kept, also where the environment says otherwise: PyTorch's take ten seconds in every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run cluster test tests lint bench bench-load bench-soak clean distclean setup setup-dev browser node

run: setup
	$(PYTHON_IN_VENV) -m streamlit run app.py --server.port $(PORT) --server.address $(HOST)

cluster: setup-dev
	$(PYTHON_IN_VENV) -m saliency_core serve --replicas 2 2 --port $(RAY_PORT) -- \
	  $(PYTHON_IN_VENV) -m streamlit run app.py --server.port $(PORT) --server.address $(HOST)

test: lint tests

tests: browser node .venv/compiled
	OMP_NUM_THREADS=$(THREADS) $(PYTHON_IN_VENV) -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

# After an installation one process compiles the modules that all processes of the tests load, while another one
# checks the types: each would compile all of them by itself, which takes half a minute.
.venv/compiled: requirements-dev.txt | setup-dev
	-@$(PYTHON_IN_VENV) -m pytest --collect-only --quiet >/dev/null
	@touch $@

lint: setup-dev node
	$(PYTHON_IN_VENV) -m ruff format --check .
	$(PYTHON_IN_VENV) -m ruff check .
	$(PYTHON_IN_VENV) -m mypy
	node_modules/.bin/biome lint --error-on-warnings
	node_modules/.bin/tsc

bench: setup-dev browser
	$(PYTHON_IN_VENV) -m benchmarks

bench-load bench-soak: bench-%: setup-dev
	$(PYTHON_IN_VENV) -m benchmarks --$*

setup:
	@.ci/setup requirements.txt

setup-dev:
	@.ci/setup requirements-dev.txt

browser:
	@.ci/browser

node:
	@.ci/node

clean:
	rm -rf .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf .venv node_modules
