package sqlitequeue

import (
	"context"
	"fmt"
	"time"
)

// upgrade brings the tables of an older version up to date, which had a row a
// message: whatever waits in them is delivered.
func (q *Queue) upgrade(ctx context.Context) error {
	if ok, err := q.exists(ctx, `SELECT 1 FROM pragma_table_info('queues') WHERE name = 'last'`); err != nil || !ok {
		return err
	}
	for _, c := range []struct{ table, column, kind string }{
		{"queues", "cursor", "INTEGER NOT NULL DEFAULT 0"},
		{"dead", "message", "INTEGER NOT NULL DEFAULT 0"},
		{"dead", "pushed_at", "INTEGER NOT NULL DEFAULT 0"},
		{"dead", "pixel", "TEXT NOT NULL DEFAULT ''"},
		{"dead", "hour", "INTEGER NOT NULL DEFAULT 0"},
	} {
		if err := q.addColumn(ctx, c.table, c.column, c.kind); err != nil {
			return err
		}
	}
	rows, err := q.db.Conn().QueryContext(ctx, `SELECT no FROM queues WHERE EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'm' || no)`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var old []int64
	for rows.Next() {
		var no int64
		if err := rows.Scan(&no); err != nil {
			return err
		}
		old = append(old, no)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	for _, no := range old {
		if err := q.upgradeTable(ctx, no); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) upgradeTable(ctx context.Context, no int64) error {
	table := fmt.Sprintf("m%d", no)
	for column, kind := range map[string]string{"pixel": "TEXT NOT NULL DEFAULT ''", "hour": "INTEGER NOT NULL DEFAULT 0"} {
		if err := q.addColumn(ctx, table, column, kind); err != nil {
			return err
		}
	}
	_, err := q.db.Conn().ExecContext(ctx, fmt.Sprintf(`BEGIN IMMEDIATE;`+tableSchema+`
INSERT INTO r%[1]d (id, pushed_at, deliveries, due, pixel, hour, body)
	SELECT m.id, m.pushed_at, COALESCE(h.deliveries, 0), COALESCE(h.due, %[2]d), m.pixel, m.hour, m.body
	FROM m%[1]d m LEFT JOIN h%[1]d h USING (id);
DROP TABLE m%[1]d;
DROP TABLE h%[1]d;
UPDATE queues SET cursor = last WHERE no = %[1]d;
COMMIT`, no, time.Now().UnixNano()))
	return err
}

func (q *Queue) addColumn(ctx context.Context, table, column, kind string) error {
	ok, err := q.exists(ctx, `SELECT 1 FROM pragma_table_info(?) WHERE name = ?`, table, column)
	if err != nil || ok {
		return err
	}
	_, err = q.db.Conn().ExecContext(ctx, `ALTER TABLE `+table+` ADD COLUMN `+column+` `+kind)
	return err
}

func (q *Queue) exists(ctx context.Context, query string, args ...any) (bool, error) {
	var ok bool
	err := q.db.Conn().QueryRowContext(ctx, `SELECT EXISTS (`+query+`)`, args...).Scan(&ok)
	return ok, err
}
