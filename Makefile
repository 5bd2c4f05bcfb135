# Two commands do everything on a machine with Python 3.11 or later: make demo, make test.
PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin
INSTALLED := .venv/installed
# What FAST's engine needs of Debian; nothing else here does.
SYSTEM_PACKAGES := libusb-1.0-0 libopengl0 libegl1 libgl1 libxcb-xinerama0 ocl-icd-libopencl1 pocl-opencl-icd
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint types pytest system-packages clean

demo: $(INSTALLED)
	$(BIN)/python tools/demo.py --out demo --seed $(SEED)

test: lint types pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# An editable install keeps exporters/ and fast_pipelines/ outside h2g/; mypy sees them through links.
types: $(INSTALLED)
	rm -rf build/typed && mkdir -p build/typed/h2g
	ln -s $(CURDIR)/h2g/* $(CURDIR)/exporters $(CURDIR)/fast_pipelines build/typed/h2g/
	cd build/typed && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/setup.cfg -p h2g

pytest: $(INSTALLED)
	$(BIN)/pytest

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

system-packages:
	@if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -qq -y $(SYSTEM_PACKAGES); \
	elif command -v sudo >/dev/null; then sudo apt-get update -qq && sudo apt-get install -qq -y $(SYSTEM_PACKAGES); \
	else echo "As root: apt-get install $(SYSTEM_PACKAGES)"; fi

clean:
	rm -rf build demo .venv
