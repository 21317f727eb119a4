package lake

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/miq/pixel/modules/event"
)

// events goes through a Parquet file of ours from a row on; what each is given holds
// until it returns. It reads only the two
// columns that an event is made of.
func events(body []byte, from int, each func(i int, e *event.Event) error) error {
	groups, at, err := open(body)
	if err != nil {
		return err
	}
	i := 0            // the row that is next
	var e event.Event // two kilobytes, used again: who wants to keep one copies it
	for _, g := range groups {
		n := int(g.NumRows())
		if from >= i+n {
			i += n
			continue
		}
		skip := max(0, from-i)
		whole := column{chunk: g.ColumnChunks()[at[0]], skip: skip}
		properties := column{chunk: g.ColumnChunks()[at[1]], skip: skip}
		err := func() error {
			defer whole.close()
			defer properties.close()
			for k := i + skip; k < i+n; k++ {
				raw, err := whole.next()
				if err != nil {
					return fmt.Errorf("row %d: %w", k, err)
				}
				props, err := properties.next()
				if err != nil {
					return fmt.Errorf("row %d: %w", k, err)
				}
				if err := event.Decode(raw, &e); err != nil {
					return fmt.Errorf("row %d: %w", k, err)
				}
				if len(props) > 0 {
					e.Properties = props
				}
				if err := each(k, &e); err != nil {
					return err
				}
			}
			return nil
		}()
		if err != nil {
			return err
		}
		i += n
	}
	return nil
}

// sane makes an error of a panic: the library's where a file is damaged or not ours.
func sane(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("not a Parquet file of ours: %v", p)
	}
}

func open(body []byte) (groups []parquet.RowGroup, at [2]int, err error) {
	defer sane(&err)
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, at, err
	}
	for i, name := range [...]string{"event", "properties"} {
		leaf, ok := f.Schema().Lookup(name)
		if !ok || leaf.Node.Type().Kind() != parquet.ByteArray || leaf.MaxRepetitionLevel > 0 {
			return nil, at, fmt.Errorf("it has no column %s of ours", name)
		}
		at[i] = leaf.ColumnIndex
	}
	return f.RowGroups(), at, nil
}

// column reads one column of a row group, value by value.
type column struct {
	chunk  parquet.ColumnChunk
	skip   int
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    []parquet.Value // read and not yet given out
	room   [256]parquet.Value
}

// next returns a copy of the next value.
func (c *column) next() (_ []byte, err error) {
	defer sane(&err)
	if c.pages == nil {
		c.pages = c.chunk.Pages()
		if c.skip > 0 {
			if err := c.pages.SeekToRow(int64(c.skip)); err != nil {
				return nil, err
			}
		}
	}
	for len(c.buf) == 0 {
		if c.values == nil {
			if c.page, err = c.pages.ReadPage(); err != nil {
				return nil, cut(err)
			}
			c.values = c.page.Values()
		}
		n, err := c.values.ReadValues(c.room[:])
		c.buf = c.room[:n]
		if errors.Is(err, io.EOF) {
			c.values = nil
			if n == 0 {
				parquet.Release(c.page)
				c.page = nil
			}
		} else if err != nil {
			return nil, err
		}
	}
	v := bytes.Clone(c.buf[0].ByteArray())
	c.buf = c.buf[1:]
	return v, nil
}

// cut says that a file ends where there should be more.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *column) close() {
	if c.pages != nil {
		c.pages.Close()
	}
}
