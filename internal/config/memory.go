package config

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The bounds of memory.budget. With usualBudget every part has the size that
// suits a server with much work; leastBudget is what a server needs that reads
// and writes rows, answers analytic statements that set aside most of what they
// hold, and builds a few values of the largest size beside them.
const (
	usualBudget = 2 << 30
	leastBudget = 512 << 20
	// leastRest is what must be left for the program and what it works on.
	leastRest = 96 << 20
)

// memTables is how many memtables there may be at one time.
const memTables = 4

// part is a size that comes from the budget unless it is set.
type part struct {
	key    string
	field  *int64
	shares int64 // how many such parts would make up the budget
	// most bounds the size; 0 is no bound.
	most int64
}

func (o *Options) parts() []part {
	return []part{
		{"analytics.memory", &o.Analytics.Memory, 4, 0},
		{"memory.sorts", &o.Memory.Sorts, 4, 0},
		{"transaction.memory", &o.Transaction.Memory, 8, 0},
		{"memory.hot_cache", &o.Memory.HotCache, 32, 0},
		{"memory.memtable", &o.Memory.MemTable, 128, 64 << 20},
		{"memory.cold_cache", &o.Memory.ColdCache, 32, 0},
		{"live.ring_bytes", &o.Live.RingBytes, 32, 0},
		{"live.result_memory", &o.Live.ResultMemory, 16, 0},
		{"commit.queue_bytes", &o.Commit.QueueBytes, 32, 0},
		{"commit.max_bytes", &o.Commit.MaxBytes, 16, 100 << 20},
		{"transaction.max_bytes", &o.Transaction.MaxBytes, 16, 100 << 20},
	}
}

// SettleMemory gives every part that is not set its share of the budget, and the
// budget itself its default. What is set stays, so a second call changes nothing.
// The error says what the least budget is.
func (o *Options) SettleMemory() error { return o.settleMemory(machineMemory()) }

func (o *Options) settleMemory(machine int64) error {
	if o.Memory.Budget == 0 {
		o.Memory.Budget = max(min(machine/2, usualBudget), leastBudget)
	}
	if o.Memory.Budget < leastBudget {
		return fmt.Errorf("memory.budget is %s; it must be at least %s", formatSize(o.Memory.Budget), formatSize(leastBudget))
	}
	given := *o
	o.divide()
	if o.GoMemory() < leastRest {
		const step = 1 << 20
		least := *o
		for least.GoMemory() < leastRest {
			budget := least.Memory.Budget + step
			least = given
			least.Memory.Budget = budget
			least.divide()
		}
		return fmt.Errorf("memory.budget is %s; with analytics.memory, memory.hot_cache and four times memory.memtable as they are set it must be at least %s",
			formatSize(o.Memory.Budget), formatSize(least.Memory.Budget))
	}
	return nil
}

// divide gives the parts that are not set their shares.
func (o *Options) divide() {
	for _, p := range o.parts() {
		if *p.field == 0 {
			*p.field = o.Memory.Budget / p.shares
			if p.most > 0 {
				*p.field = min(*p.field, p.most)
			}
		}
	}
}

// GoMemory is what the budget leaves to the program itself: what DuckDB and the
// engine hold lies outside of Go's heap. DuckDB takes up to half as much again as
// it counts, for vectors of long texts.
func (o *Options) GoMemory() int64 {
	return o.Memory.Budget - o.Analytics.Memory*3/2 - o.Memory.HotCache - memTables*o.Memory.MemTable
}

// machineMemory is the memory of the machine or of the container, whichever is
// less; what cannot be read does not bound it.
func machineMemory() int64 {
	return leastMemory("/proc/meminfo", "/proc/self/cgroup", "/sys/fs/cgroup")
}

func leastMemory(info, membership, root string) int64 {
	least := int64(math.MaxInt64)
	consider := func(n int64) {
		if n > 0 {
			least = min(least, n)
		}
	}
	consider(memTotal(info))
	for _, path := range groupLimits(membership, root) {
		if text, err := os.ReadFile(path); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is no bound
			consider(n)
		}
	}
	return least
}

// memTotal reads the size of the machine.
func memTotal(path string) int64 {
	file, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// groupLimits returns the files that may bound this process: that of its own
// group and, since a container sees its group as the root, that of the root; and
// of each in both versions of the kernel's interface.
func groupLimits(membership, root string) []string {
	paths := []string{filepath.Join(root, "memory.max"), filepath.Join(root, "memory", "memory.limit_in_bytes")}
	text, err := os.ReadFile(membership)
	if err != nil {
		return paths
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(fields) != 3:
		case fields[0] == "0" && fields[1] == "":
			paths = append(paths, filepath.Join(root, fields[2], "memory.max"))
		case strings.Contains(","+fields[1]+",", ",memory,"):
			paths = append(paths, filepath.Join(root, "memory", fields[2], "memory.limit_in_bytes"))
		}
	}
	return paths
}
