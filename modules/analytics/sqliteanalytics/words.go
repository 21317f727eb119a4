package sqliteanalytics

// words says of the texts of many events what is surely not in them: a bit for each
// three letters in a row, and for how each id begins. A search skips whatever cannot
// hold what it looks for.
type words struct {
	text [1 << 12]byte
	ids  [1 << 14]byte
}

func newWords() *words { return &words{} }

// The beginnings of ids that are known.
var beginnings = [...]int{4, 8}

// add takes an event's column search.
func (w *words) add(search []byte) {
	for len(search) > 0 {
		kind := search[0]
		search = search[1:]
		end := mark(search)
		part := search[:end]
		search = search[end:]
		if kind == 0xFE {
			for _, n := range beginnings {
				if len(part) >= n {
					set(w.ids[:], hash(part[:n]))
				}
			}
			continue
		}
		for i := 0; i+3 <= len(part); i++ {
			set(w.text[:], hash(part[i:i+3]))
		}
	}
}

// mark is where the next part begins.
func mark(b []byte) int {
	for i, c := range b {
		if c >= 0xFE {
			return i
		}
	}
	return len(b)
}

// may reports whether an event could be found by a text, which is folded.
func (w *words) may(text []byte) bool {
	return w.mayHold(text) || w.mayBegin(text)
}

func (w *words) mayHold(text []byte) bool {
	for i := 0; i+3 <= len(text); i++ {
		if !has(w.text[:], hash(text[i:i+3])) {
			return false
		}
	}
	return true
}

func (w *words) mayBegin(text []byte) bool {
	for _, n := range beginnings {
		if len(text) >= n && !has(w.ids[:], hash(text[:n])) {
			return false
		}
	}
	return true
}

// hash is FNV-1a, with its upper bits mixed into the lower ones, which are used.
func hash(b []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return h ^ h>>15
}

func set(bits []byte, h uint32) {
	h &= uint32(len(bits))*8 - 1 //nolint:gosec // a length
	bits[h/8] |= 1 << (h % 8)
}

func has(bits []byte, h uint32) bool {
	h &= uint32(len(bits))*8 - 1 //nolint:gosec // a length
	return bits[h/8]&(1<<(h%8)) != 0
}
