package main

import (
	"context"
	"fmt"

	"kalamdb/bench/load"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

const (
	offeredConns = 64   // connections of an open loop
	keptUp       = 0.95 // share of the offered rate that counts as kept up
)

// offer is a load that is offered whether or not the server keeps up.
type offer struct {
	operation
	rate float64
}

func offers() []offer {
	o := func(verb load.Verb, table string, ceiling string, rates ...float64) []offer {
		var all []offer
		for i, r := range rates {
			// Peers get the least rate only; the others are beyond what they do.
			all = append(all, offer{operation{verb: verb, table: table, inFlight: offeredConns, ceiling: ceiling, peer: i == 0}, r})
		}
		return all
	}
	var all []offer
	all = append(all, o(load.Insert, syncedTable, syncedCeiling, 1000, 4000, 8000)...)
	all = append(all, o(load.Insert, relaxedTable, echoCeiling, 1000, 4000, 8000)...)
	return append(all, o(load.Select, syncedTable, echoCeiling, 1000, 4000, 8000)...)
}

// runOffered measures latency at a stated load: requests are due at fixed
// moments, and their latency counts from there.
func runOffered(ctx context.Context, b *bench) error {
	kalam, peers, err := b.tableLanes(ctx)
	if err != nil {
		return err
	}
	all := offers()
	measuredOffers := make([]*measured, len(all))
	for i, o := range all {
		measuredOffers[i] = &measured{operation: o.operation, rate: o.rate}
	}
	if err := b.measure(ctx, measuredOffers, kalam, peers); err != nil {
		return err
	}
	b.report.Section(fmt.Sprintf("Operations at an offered load, open loop over %d connections", offeredConns))
	b.report.Linef("Latency in microseconds, from the moment a request was due. A rate in parentheses was not kept up with.")
	var rows [][]string
	for _, m := range measuredOffers {
		for i, s := range m.samples {
			rows = append(rows, m.offeredRow(i, s))
		}
	}
	b.report.Table([]string{"operation", "durability", "offered per s", "lane", "answered per s", "p50", "p90", "p99", "p99.9", "max", "p50 of kalamdb is"}, rows)
	return nil
}

func (m *measured) offeredRow(i int, s *sample) []string {
	rate := s.median(func(r load.Result) float64 { return r.PerSecond })
	answered := digits(rate)
	if rate < keptUp*m.rate {
		answered = "(" + answered + ")"
	}
	p50 := func(r load.Result) float64 { return r.P50 }
	ratio := ""
	if i > 0 {
		ratio = interval(stat.Of(stat.Ratios(m.samples[0].values(p50), s.values(p50)))) + "x"
	}
	cells := []string{string(m.verb), m.durability(s.lane), digits(m.rate), s.lane, answered}
	return append(append(cells, s.quantiles()...), ratio)
}

// tableLanes returns the lanes that have tables, started on first use.
func (b *bench) tableLanes(ctx context.Context) (*lane, []*lane, error) {
	if b.tabled == nil {
		kalam, err := b.kalamLane(ctx)
		if err != nil {
			return nil, nil, err
		}
		peers, err := b.peerLanes(ctx)
		if err != nil {
			return nil, nil, err
		}
		b.tabled = append([]*lane{kalam}, peers...)
	}
	return b.tabled[0], b.tabled[1:], nil
}

// runCount compares the rows of all lanes with what they have acknowledged.
func runCount(ctx context.Context, b *bench) error {
	if len(b.tabled) == 0 {
		return nil
	}
	b.report.Section("Rows counted at the end")
	for _, l := range b.tabled {
		for name, t := range l.tables {
			if err := b.countRows(ctx, l, name, t); err != nil {
				return err
			}
			if l.target != target.KalamDB {
				name = "its collection"
			}
			b.report.Linef("%s, %s: %d rows, as many as were acknowledged (%d inserted, %d deleted; %d different rows updated)",
				l.label, name, t.standing+t.inserted-t.deleted, t.standing+t.inserted, t.deleted, t.updated)
		}
	}
	return nil
}
