package main

import (
	"context"
	"slices"
)

// scenario is a part of the run.
type scenario struct {
	name string
	run  func(context.Context, *bench) error
	// parts are names within the scenario that -only may ask for.
	parts []string
	// always is for what belongs to others, whatever -only asks for; it cannot be
	// asked for.
	always bool
}

// scenarios are the parts of a run, in its order.
func scenarios() []scenario {
	return []scenario{
		{name: "disk", run: runDisk},
		{name: "operations", run: runOperations, parts: operationNames()},
		{name: "pinned", run: runPinned},
		{name: "offered", run: runOffered},
		{name: "live", run: runLive},
		{name: "broadcast", run: runBroadcast},
		{name: "crowd", run: runCrowd},
		{name: "connections", run: runConnections},
		{name: "fanout", run: runFanout},
		{name: "routing", run: runRouting},
		{name: "snapshots", run: runSnapshots},
		{name: "streams", run: runStreams},
		{name: "count", run: runCount, always: true},
		{name: "aggregate", run: runAggregate},
		{name: "statements", run: runStatements},
		{name: "largest", run: runLargest},
		{name: "cold", run: runCold},
		{name: "start", run: runStart},
		{name: "memory", run: runMemory},
		{name: "size", run: runSize},
	}
}

// wanted reports whether -only asks for the scenario or a part of it.
func (s scenario) wanted(o options) bool {
	return s.always || o.wants(s.name) || slices.ContainsFunc(s.parts, o.wants)
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios() {
		if !s.always {
			names = append(names, s.name)
		}
	}
	return names
}
