# Everything runs in an environment of its own, made at the first call and whenever
# pyproject.toml changes. The only need is a Python of at least 3.11; name it with PYTHON=.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

export ORT_DISABLE_TELEMETRY = 1

.PHONY: demo test check bench accuracy soak stubs format lowest image clean

demo: $(VENV)/ready
	$(BIN)/zeropoint demo --models .cache/models

# Many tests wait for processes of their own, or for time to pass: three at once keep two cores
# busy. How tests are shared out stands in tests/conftest.py.
test: $(VENV)/ready models
	$(BIN)/python -m pytest -n 3

check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/python scripts/stubs.py --check

bench: $(VENV)/ready models
	$(BIN)/python -m benchmarks

# Against NNCF, too, which needs other packages than we do: an environment of its own.
accuracy: $(VENV)/ready $(VENV)-nncf/ready
	$(BIN)/python -m benchmarks accuracy

$(VENV)-nncf/ready:
	$(PYTHON) -m venv --clear $(VENV)-nncf
	$(VENV)-nncf/bin/python -m pip install --quiet nncf==3.4.0 onnx==1.23.2 onnxruntime==1.32.0
	touch $@

soak: $(VENV)/ready models
	$(BIN)/python -m pytest -m soak --timeout=3600

# The oldest versions that pyproject.toml allows, in an environment of their own.
lowest: models
	$(PYTHON) scripts/environment.py $(VENV)-lowest --lowest
	$(VENV)-lowest/bin/python -m pytest

stubs:
	$(PYTHON) scripts/stubs.py

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

image:
	docker build -t zeropoint .

.PHONY: models
models: $(VENV)/ready
	$(BIN)/python scripts/fetch_models.py .cache/models

$(VENV)/ready: pyproject.toml scripts/environment.py
	$(PYTHON) scripts/environment.py $(VENV)

clean:
	rm -rf .venv .venv-lowest .venv-nncf .venv-stubs .cache build dist
