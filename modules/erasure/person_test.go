package erasure

import (
	"strings"
	"testing"
)

func TestAnIdentifierIsMeasuredInCharacters(t *testing.T) {
	if err := (Identifier{"user_id", strings.Repeat("ж", maxValue)}).Check(); err != nil {
		t.Error(err)
	}
	if err := (Identifier{"user_id", strings.Repeat("ж", maxValue+1)}).Check(); err == nil || !strings.HasSuffix(err.Error(), "at most 512 characters") {
		t.Errorf("one more: %v", err)
	}
}
