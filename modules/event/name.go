package event

// ValidName reports whether s can name an event: a letter, then at most 63
// letters, digits, _ . : or -.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && c != '.' && c != ':' && c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}
