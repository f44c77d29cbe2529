package engine

import (
	"encoding/binary"
	"fmt"
	"testing"

	"kalamdb/internal/disk"
)

func benchDB(b *testing.B, rows int) *DB {
	db, err := Open(disk.Real(), b.TempDir()+"/hot", Options{})
	must(b, err)
	b.Cleanup(func() { must(b, db.Close()) })
	for at := 0; at < rows; {
		batch := db.NewBatch()
		for range 1000 {
			SetRow(batch, benchKey(at), uint64(at), make([]byte, 100))
			at++
		}
		must(b, db.Apply(batch, false))
		batch.Close()
	}
	must(b, db.Flush())
	return db
}

func benchKey(n int) []byte {
	return binary.BigEndian.AppendUint64([]byte("r\x00\x00\x00\x01user:alice\x00"), uint64(n)*0x9e3779b97f4a7c15)
}

// BenchmarkCommit measures one small batch from NewBatch to Close.
func BenchmarkCommit(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync=%v", sync), func(b *testing.B) {
			db := benchDB(b, 0)
			for n := range b.N {
				batch := db.NewBatch()
				SetRow(batch, benchKey(n), uint64(n), make([]byte, 100))
				Set(batch, binary.BigEndian.AppendUint64([]byte("c"), uint64(n)), make([]byte, 20))
				Merge(batch, []byte("n"), AppendDelta(nil, 1, 0, 100))
				must(b, db.Apply(batch, sync))
				must(b, batch.Wait())
				batch.Close()
			}
		})
	}
}

// BenchmarkGetRow measures point reads of rows that are there and that are
// not, on tables and through a batch.
func BenchmarkGetRow(b *testing.B) {
	const rows = 200_000
	db := benchDB(b, rows)
	batch := db.NewBatch()
	defer batch.Close()
	for name, r := range map[string]Reader{"db": db, "batch": batch} {
		for _, there := range []bool{true, false} {
			b.Run(fmt.Sprintf("%s/there=%v", name, there), func(b *testing.B) {
				for n := range b.N {
					key := n % rows
					if !there {
						key += rows
					}
					if _, _, ok, err := GetRow(r, benchKey(key), ^uint64(0)); err != nil || ok != there {
						b.Fatal(ok, err)
					}
				}
			})
		}
	}
	b.Run("get/there=false", func(b *testing.B) {
		for n := range b.N {
			key := benchKey(n + rows)
			key[0] = 'l'
			if _, _, err := Get(db, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScan measures steps over keys of four versions each.
func BenchmarkScan(b *testing.B) {
	db := benchDB(b, 0)
	for seq := range uint64(4) {
		batch := db.NewBatch()
		for n := range 50_000 {
			SetRow(batch, benchKey(n), seq, make([]byte, 100))
		}
		must(b, db.Apply(batch, false))
		batch.Close()
	}
	must(b, db.Flush())
	it, err := NewIter(db, []byte("r"), []byte("s"))
	must(b, err)
	defer func() { must(b, it.Close()) }()
	b.Run("next", func(b *testing.B) {
		for range b.N {
			if !it.Next() {
				it.First()
			}
		}
	})
	b.Run("key", func(b *testing.B) {
		for range b.N {
			if !it.NextKey() {
				it.First()
			}
		}
	})
}
