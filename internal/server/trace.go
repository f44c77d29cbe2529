package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"kalamdb/internal/api"
	"kalamdb/internal/config"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
)

// Bounds of what goes to the collector.
const (
	traceBatch    = 512 // spans in one request
	traceEvery    = time.Second
	traceLastWait = time.Second // for what is queued when the server ends
)

// tracing makes spans and sends them to a collector. It is the tracer of the edge
// and of core.
type tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	headers  propagation.TraceContext
}

var (
	_ api.Tracer  = (*tracing)(nil)
	_ core.Tracer = (*tracing)(nil)
)

// openTracing returns nil when no collector is configured.
func openTracing(c config.Tracing, version string, node int, log *slog.Logger) (*tracing, error) {
	if c.Endpoint == "" {
		return nil, nil
	}
	headers, err := c.HeaderValues()
	if err != nil {
		return nil, err
	}
	endpoint := c.Endpoint
	if u, err := url.Parse(endpoint); err == nil && strings.Trim(u.Path, "/") == "" {
		endpoint = u.JoinPath("v1/traces").String()
	}
	exporter, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(endpoint), otlptracehttp.WithHeaders(headers), otlptracehttp.WithTimeout(c.Timeout),
		// What the collector does not take is lost: a queue that waits for it
		// would only lose what comes behind.
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}),
	)
	if err != nil {
		return nil, fmt.Errorf("open tracing: %w", err)
	}
	share := sdk.TraceIDRatioBased(c.SampleRatio)
	t := &tracing{provider: sdk.NewTracerProvider(
		sdk.WithSampler(sdk.ParentBased(share, sdk.WithRemoteParentSampled(share))),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", c.ServiceName), attribute.String("service.version", version),
			attribute.String("service.instance.id", strconv.Itoa(node)))),
		sdk.WithBatcher(&traceExporter{SpanExporter: exporter, log: log},
			sdk.WithMaxQueueSize(c.QueueSpans), sdk.WithMaxExportBatchSize(min(traceBatch, c.QueueSpans)),
			sdk.WithBatchTimeout(traceEvery), sdk.WithExportTimeout(c.Timeout)),
	)}
	t.tracer = t.provider.Tracer("kalamdb")
	return t, nil
}

// close sends what is queued, for a moment.
func (t *tracing) close() {
	ctx, cancel := context.WithTimeout(context.Background(), traceLastWait)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // the collector has said what is wrong
}

// traceExporter is the exporter, whose faults are one warning until it works again:
// nobody is to read a line for each second that the collector is away.
type traceExporter struct {
	sdk.SpanExporter
	log  *slog.Logger
	away atomic.Bool
}

// ExportSpans implements sdk.SpanExporter.
func (c *traceExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err == nil && c.away.Swap(false):
		c.log.Info("the trace collector takes spans again")
	case err != nil && !c.away.Swap(true):
		c.log.Warn("the trace collector does not take spans; they are dropped", "error", err)
	}
	return nil
}

// Request implements api.Tracer.
func (t *tracing) Request(ctx context.Context, name, parent, state string) (context.Context, api.RequestSpan) {
	if parent != "" {
		ctx = t.headers.Extract(ctx, propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if !span.IsRecording() {
		return ctx, nil
	}
	if method, route, ok := strings.Cut(name, " /"); ok {
		span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", "/"+route))
	}
	return ctx, requestSpan{span}
}

type requestSpan struct{ trace.Span }

// End implements api.RequestSpan.
func (s requestSpan) End(status int) {
	if status != 0 {
		s.SetAttributes(attribute.Int("http.response.status_code", status))
	}
	if status >= 500 {
		s.SetStatus(codes.Error, "")
	}
	s.Span.End()
}

// Statement implements core.Tracer. Statements are heard of within requests only.
func (t *tracing) Statement(ctx context.Context) (context.Context, core.StatementSpan) {
	if !recording(ctx) {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, "statement")
	return ctx, statementSpan{span}
}

type statementSpan struct{ trace.Span }

// End implements core.StatementSpan.
func (s statementSpan) End(t core.StatementTrace) {
	digest := sha256.Sum256([]byte(t.Query))
	s.SetName(strings.TrimSpace(t.Kind + " " + t.Table))
	s.SetAttributes(
		attribute.String("db.system.name", "kalamdb"), attribute.String("db.operation.name", t.Kind),
		attribute.String("db.query.text", t.Query), attribute.String("kalamdb.statement.digest", hex.EncodeToString(digest[:8])),
		attribute.String("kalamdb.statement.id", t.ID), attribute.String("kalamdb.path", t.Path),
		attribute.Int64("kalamdb.rows", t.Rows),
	)
	if namespace, _, ok := strings.Cut(t.Table, "."); ok {
		s.SetAttributes(attribute.String("db.namespace", namespace), attribute.String("db.collection.name", t.Table))
	}
	if t.Fault != "" {
		s.SetAttributes(attribute.String("error.type", string(t.Fault)))
		s.SetStatus(codes.Error, "")
	}
	s.Span.End()
}

// Commit implements core.Tracer.
func (t *tracing) Commit(ctx context.Context) core.Span {
	if !recording(ctx) {
		return nil
	}
	_, span := t.tracer.Start(ctx, "commit")
	return plainSpan{span}
}

// Job implements core.Tracer. A job is a trace of its own: whoever started it has
// his answer long before it ends.
func (t *tracing) Job(ctx context.Context, kind, id string) (context.Context, core.Span) {
	ctx, span := t.tracer.Start(ctx, "job "+kind, trace.WithNewRoot())
	if !span.IsRecording() {
		return ctx, nil
	}
	span.SetAttributes(attribute.String("kalamdb.job.id", id), attribute.String("kalamdb.job.type", kind))
	return ctx, plainSpan{span}
}

type plainSpan struct{ trace.Span }

// End implements core.Span. The text of a fault may name values, so only its code
// is told.
func (s plainSpan) End(err error) {
	if err != nil {
		s.SetAttributes(attribute.String("error.type", string(fault.CodeOf(err))))
		s.SetStatus(codes.Error, "")
	}
	s.Span.End()
}

func recording(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }
