package catalog

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTreeIsAPersistentMap runs random changes and compares every tree, old
// ones too, with a copied map.
func TestTreeIsAPersistentMap(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	type moment struct {
		tree tree[int, int]
		want map[int]int
	}
	now := moment{want: map[int]int{}}
	var past []moment
	for step := range 4000 {
		key := chance.IntN(300)
		now.want = maps.Clone(now.want)
		if chance.IntN(3) == 0 {
			now.tree = now.tree.without(key)
			delete(now.want, key)
		} else {
			now.tree = now.tree.with(key, step)
			now.want[key] = step
		}
		if step%200 == 0 {
			past = append(past, now)
		}
	}
	for _, m := range append(past, now) {
		if m.tree.size != len(m.want) {
			t.Fatalf("size %d, want %d", m.tree.size, len(m.want))
		}
		if got := maps.Collect(m.tree.all()); !maps.Equal(got, m.want) {
			t.Fatalf("tree holds %v, want %v", got, m.want)
		}
		var keys []int
		for key, value := range m.tree.all() {
			keys = append(keys, key)
			if got, ok := m.tree.get(key); !ok || got != value {
				t.Fatalf("get(%d) = %d, %v; want %d", key, got, ok, value)
			}
		}
		if !slices.IsSorted(keys) {
			t.Fatalf("keys come as %v", keys)
		}
		checkBalance(t, m.tree.root)
	}
}

func checkBalance(t *testing.T, n *node[int, int]) int8 {
	t.Helper()
	if n == nil {
		return 0
	}
	left, right := checkBalance(t, n.left), checkBalance(t, n.right)
	if n.height != 1+max(left, right) || left-right > 1 || right-left > 1 {
		t.Fatalf("node %d has height %d over %d and %d", n.key, n.height, left, right)
	}
	return n.height
}

func TestTreeStopsWhenToldTo(t *testing.T) {
	var numbers tree[int, bool]
	for i := range 100 {
		numbers = numbers.with(i, true)
	}
	seen := 0
	for key := range numbers.all() {
		seen++
		if key == 9 {
			break
		}
	}
	if seen != 10 {
		t.Errorf("%d keys were delivered before the break, want 10", seen)
	}
}
