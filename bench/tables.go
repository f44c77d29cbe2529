package main

import (
	"fmt"

	"kalamdb/bench/load"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

// tabulate writes what the operations have shown.
func (b *bench) tabulate(title string, all []*measured) {
	b.report.Section(title)
	b.report.Linef("Latency in microseconds. KalamDB's rows are acknowledged after their fsync (sync) or before it (relaxed).")
	b.report.Linef("An insert_rows request has %d rows, and so has an insert_transaction, by a statement each. c2 and echo get and send as many bytes as KalamDB, from the same client, and show what that client can do.", load.RowsPerInsert)
	var rows [][]string
	for _, m := range all {
		for i, s := range m.samples {
			rows = append(rows, m.row(i, s))
		}
	}
	b.report.Table([]string{"operation", "durability", "in flight", "lane", "per s [95 %]", "p50", "p90", "p99", "p99.9", "max", "server us/op", "client us/op", "kalamdb is"}, rows)
}

// row is one lane of an operation; the last column is the median of the
// ratios of each round.
func (m *measured) row(i int, s *sample) []string {
	name, durability, flight := string(m.verb), m.durability(s.lane), fmt.Sprint(m.inFlight)
	f := func(value func(load.Result) float64) string { return digits(s.median(value)) }
	ratio := ""
	if i > 0 {
		ratio = interval(m.ratio(s.lane)) + "x"
	}
	cells := append([]string{name, durability, flight, s.lane, interval(stat.Of(s.rates()))}, s.quantiles()...)
	return append(cells, f(func(r load.Result) float64 { return r.ServerCPU }), f(func(r load.Result) float64 { return r.ClientCPU }), ratio)
}

// quantiles are the cells p50, p90, p99, p99.9 and max.
func (s *sample) quantiles() []string {
	f := func(value func(load.Result) float64) string { return digits(s.median(value)) }
	return []string{
		f(func(r load.Result) float64 { return r.P50 }), f(func(r load.Result) float64 { return r.P90 }),
		f(func(r load.Result) float64 { return r.P99 }), f(func(r load.Result) float64 { return r.P999 }),
		f(func(r load.Result) float64 { return r.Max }),
	}
}

// ratio is KalamDB's rate over that of a lane, round by round.
func (m *measured) ratio(lane string) stat.Summary {
	other := m.of(lane)
	if other == nil {
		return stat.Of(nil)
	}
	return stat.Of(stat.Ratios(m.samples[0].rates(), other.rates()))
}

// durability is what an acknowledgement of a lane means.
func (m *measured) durability(lane string) string {
	if m.verb == load.Select || m.verb == load.SelectParams {
		return "-"
	}
	switch {
	case lane == syncedCeiling:
		return "sync"
	case lane == echoCeiling:
		return "none"
	case lane == target.PocketBase:
		return "relaxed"
	case m.table == syncedTable:
		return "sync"
	}
	return "relaxed"
}

// judge compares what was measured with the aims.
func (b *bench) judge(all []*measured, peers []*lane) {
	own := func(v load.Verb, table string, n int) *measured {
		for _, m := range all {
			if m.verb == v && m.table == table && m.inFlight == n {
				return m
			}
		}
		return nil
	}
	for _, n := range []int{16, 64, 256} {
		if m := own(load.Insert, syncedTable, n); m != nil {
			b.report.AimAtLeast(fmt.Sprintf("insert, sync, %d in flight, of C2", n), m.ratio(syncedCeiling), 0.6, "x")
		}
	}
	if m := own(load.Insert, relaxedTable, 16); m != nil && len(peers) > 0 {
		b.report.AimAtLeast("insert, relaxed, 16 in flight, of PocketBase", m.ratio(peers[0].label), 6, "x")
	}
	if m := own(load.Insert, syncedTable, 16); m != nil {
		for _, p := range peers {
			b.report.Aim("insert, sync, 16 in flight, of "+p.label, "-", interval(m.ratio(p.label))+"x", "for orientation")
		}
	}
	for _, n := range []int{1, 16} {
		m := own(load.Select, syncedTable, n)
		if m == nil {
			continue
		}
		b.report.AimAtLeast(fmt.Sprintf("point select, %d in flight, of the TCP echo", n), m.ratio(echoCeiling), 0.5, "x")
		if len(peers) > 0 {
			b.report.AimAtLeast(fmt.Sprintf("point select, %d in flight, of PocketBase", n), m.ratio(peers[0].label), 3, "x")
		}
	}
	for _, table := range []string{syncedTable, relaxedTable} {
		for _, v := range []load.Verb{load.Update, load.Delete} {
			for _, n := range []int{1, 16} {
				m, insert := own(v, table, n), own(load.Insert, table, n)
				if m != nil && insert != nil {
					ratio := stat.Of(stat.Ratios(m.samples[0].rates(), insert.samples[0].rates()))
					b.report.AimAtLeast(fmt.Sprintf("%s, %s, %d in flight, of our insert rate", v, m.durability(target.KalamDB), n), ratio, 0.7, "x")
				}
			}
		}
	}
}
