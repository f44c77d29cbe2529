package catalog

import (
	"cmp"
	"iter"
)

// tree is a sorted map that is never changed: with and without return another
// tree that shares all but the path to the key. It is an AVL tree, so that ten
// thousand tables are fourteen steps and a change copies as many nodes.
type tree[K cmp.Ordered, V any] struct {
	root *node[K, V]
	size int
}

type node[K cmp.Ordered, V any] struct {
	key         K
	value       V
	height      int8
	left, right *node[K, V]
}

// get returns the value under a key.
func (t tree[K, V]) get(key K) (value V, ok bool) {
	for n := t.root; n != nil; {
		switch {
		case key < n.key:
			n = n.left
		case key > n.key:
			n = n.right
		default:
			return n.value, true
		}
	}
	return value, false
}

// with returns a tree that has value under key.
func (t tree[K, V]) with(key K, value V) tree[K, V] {
	if _, ok := t.get(key); !ok {
		t.size++
	}
	t.root = t.root.with(key, value)
	return t
}

// without returns a tree that has nothing under key.
func (t tree[K, V]) without(key K) tree[K, V] {
	if _, ok := t.get(key); !ok {
		return t
	}
	return tree[K, V]{root: t.root.without(key), size: t.size - 1}
}

// all yields keys and values in order.
func (t tree[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) { t.root.each(yield) }
}

func (n *node[K, V]) each(yield func(K, V) bool) bool {
	return n == nil || n.left.each(yield) && yield(n.key, n.value) && n.right.each(yield)
}

func (n *node[K, V]) with(key K, value V) *node[K, V] {
	if n == nil {
		return &node[K, V]{key: key, value: value, height: 1}
	}
	c := *n
	switch {
	case key < n.key:
		c.left = n.left.with(key, value)
	case key > n.key:
		c.right = n.right.with(key, value)
	default:
		c.value = value
		return &c
	}
	return c.balanced()
}

func (n *node[K, V]) without(key K) *node[K, V] {
	c := *n
	switch {
	case key < n.key:
		c.left = n.left.without(key)
	case key > n.key:
		c.right = n.right.without(key)
	case n.left == nil:
		return n.right
	case n.right == nil:
		return n.left
	default:
		next := n.right
		for next.left != nil {
			next = next.left
		}
		c.key, c.value = next.key, next.value
		c.right = n.right.without(next.key)
	}
	return c.balanced()
}

func (n *node[K, V]) tall() int8 {
	if n == nil {
		return 0
	}
	return n.height
}

// balanced sets the height of a fresh node and turns it where one side has
// become two levels higher than the other.
func (n *node[K, V]) balanced() *node[K, V] {
	switch n.left.tall() - n.right.tall() {
	case 2:
		if left := *n.left; left.left.tall() < left.right.tall() {
			n.left = left.turnedLeft()
		}
		return n.turnedRight()
	case -2:
		if right := *n.right; right.right.tall() < right.left.tall() {
			n.right = right.turnedRight()
		}
		return n.turnedLeft()
	}
	n.height = 1 + max(n.left.tall(), n.right.tall())
	return n
}

// turnedRight lifts a copy of the left child over n, which must be fresh.
func (n *node[K, V]) turnedRight() *node[K, V] {
	up := *n.left
	n.left = up.right
	n.height = 1 + max(n.left.tall(), n.right.tall())
	up.right = n
	up.height = 1 + max(up.left.tall(), up.right.tall())
	return &up
}

// turnedLeft lifts a copy of the right child over n, which must be fresh.
func (n *node[K, V]) turnedLeft() *node[K, V] {
	up := *n.right
	n.right = up.left
	n.height = 1 + max(n.left.tall(), n.right.tall())
	up.left = n
	up.height = 1 + max(up.left.tall(), up.right.tall())
	return &up
}
