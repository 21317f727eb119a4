package sqlitequeue

// Blind makes the queue believe that its disk has room.
func (q *Queue) Blind() {
	q.disk = func() (int64, int64, error) { return 1 << 40, 1 << 40, nil }
}
