package chanalytics

import (
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	chcolumn "github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"github.com/miq/pixel/modules/analytics/analyticstest"
)

// eventTypes are the types of the columns of events, as the migration has them.
func eventTypes(tb testing.TB) map[string]string {
	tb.Helper()
	types := map[string]string{}
	for _, c := range events.columns {
		types[c.name] = "String"
	}
	for _, name := range append(dimensions(), "pixel_id", "name") {
		if name != "page_path" {
			types[name] = "LowCardinality(String)"
		}
	}
	for name, of := range map[string]string{
		"received_at": "DateTime64(6, 'UTC')", "time": "DateTime64(6, 'UTC')", "value": "Nullable(Float64)", "base_value": "Nullable(Float64)",
		"keep_days": "UInt16", "writer": "UInt32", "seq": "UInt64",
	} {
		types[name] = of
	}
	return types
}

// BenchmarkBlock is what an event costs until it is a row of a block.
func BenchmarkBlock(b *testing.B) {
	types := eventTypes(b)
	list := analyticstest.Events(1, 4096, time.Hour)
	dims := dimensions()
	keep := func(string) uint16 { return 30 }
	b.ReportAllocs()
	b.ResetTimer()
	var buffer chproto.Buffer
	for n := 0; n < b.N; n += len(list) {
		rows := newEventRows(list, dims, keep)
		var block proto.Block
		block.ServerContext = &chcolumn.ServerContext{}
		for _, c := range events.columns {
			if err := block.AddColumn(c.name, chcolumn.Type(types[c.name])); err != nil {
				b.Fatal(c.name, err)
			}
			if _, err := block.Columns[len(block.Columns)-1].Append(values(types[c.name], c.take(rows))); err != nil {
				b.Fatal(err)
			}
		}
		buffer.Reset()
		if err := block.Encode(&buffer, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(buffer.Buf))/float64(len(list)), "B/event")
}

// BenchmarkRow is the part of it that is ours.
func BenchmarkRow(b *testing.B) {
	list := analyticstest.Events(1, 4096, time.Hour)
	dims := dimensions()
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(list) {
		newEventRows(list, dims, func(string) uint16 { return 30 })
	}
}
