# A target is one line; what is longer is a Go program in this tree.
GO ?= go
TIME ?= 10s
SUM ?= 0
CONFIG ?= all
FILES ?= *
REWRITE ?=
CYCLES ?= 50
POINTS ?= 10000
OPERATIONS ?= 1000000
ONLY ?=
SCALE ?= 0.1
export CGO_ENABLED = 1

.PHONY: all build s3server pyiceberg fmt check test race logic e2e fuzz torture torture-live metamorphic bench tpch arch demo run gen

all: build

build: ; $(GO) build -o bin/ ./cmd/kalamdb ./cmd/kalam
s3server: ; cd test/s3server && $(GO) build -o ../../bin/versitygw github.com/versity/versitygw/cmd/versitygw
pyiceberg: bin/pyiceberg/ready
bin/pyiceberg/ready: test/e2e/testdata/pyiceberg/requirements.txt ; python3 -m venv --clear bin/pyiceberg && bin/pyiceberg/bin/pip install -q --disable-pip-version-check --no-deps -r $< && touch $@
fmt: ; gofmt -w bench cmd examples internal sdk test
check: ; $(GO) run ./test/runner check
test: s3server pyiceberg ; $(GO) run ./test/runner test
race: ; $(GO) test -race ./internal/core/... ./internal/api/...
logic: $(if $(findstring s3,$(CONFIG)),s3server) ; $(GO) test ./test/logic -count=1 -args -config=$(CONFIG) -files='$(FILES)' $(if $(REWRITE),-rewrite)
e2e: build ; $(GO) test ./test/e2e ./test/protocol -count=1
fuzz: ; $(GO) run ./test/runner fuzz -time=$(TIME) -sum=$(SUM) -run='$(ONLY)'
torture: ; $(GO) run ./test/runner torture -cycles=$(CYCLES) -points=$(POINTS) -operations=$(OPERATIONS) -seed=$(or $(SEED),0)
torture-live: ; $(GO) test ./test/torture -count=1 -timeout=0 -v -run='^TestLive' -args -live -faults -seed=$(or $(SEED),0)
metamorphic: ; $(GO) test ./test/metamorphic -count=1 -timeout=0 -v -run=TestPrograms -args $(if $(SEED),-seed=$(SEED),-duration=$(TIME))
bench: ; $(GO) run ./bench $(if $(ONLY),-only=$(ONLY)) $(ARGS)
tpch: ; $(GO) run ./bench/tpch -scale=$(SCALE) $(ARGS)
arch: ; $(GO) test ./internal/arch -count=1 -v -args -unused
demo: build ; $(GO) run ./examples/demo $(if $(ROUNDS),-rounds=$(ROUNDS))
run: build ; ./bin/kalamdb
gen:
	$(GO) test ./internal/sql/exec -run='TestCatalogue|TestNative' -args -rewrite
	$(GO) test ./internal/sql/plan -run=. -args -rewrite
