package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// unfilled are the texts that stand in a field which nobody filled in. They give no
// digest; what junk.go lists gives one that links nobody.
var unfilled = set("", " ", "-", "--", "0", "n/a", "#n/a", "none", "undefined", "unknown", "anonymous", "(not set)", "notset", "not set", "[object object]", "nan", "false", "true",
	"notavailable", "notprovided", "objectobject")

// junkMails are addresses that are typed where one must be given.
var junkMails = set("none@none.com", "test@test.com", "test@test.de", "a@a.com", "a@b.com", "na@na.com", "no@no.com", "no@email.com", "noemail@noemail.com", "email@email.com",
	"null@null.com", "unknown@unknown.com", "asdf@asdf.com", "user@domain.com", "name@domain.com", "guest@guest.com", "x@x.com")

// emptyDigests are what careless tags make of both, as if it were somebody's: the
// SHA-256 of the empty string above all.
var emptyDigests = func() map[string]bool {
	m := map[string]bool{}
	for _, list := range [...]map[string]bool{unfilled, junkMails, set("null")} {
		for s := range list {
			b := sha256.Sum256([]byte(s))
			m[hex.EncodeToString(b[:])] = true
		}
	}
	return m
}()

// junkMail reports an address, in lower case, that is nobody's.
func junkMail(local, whole string) bool {
	return junkMails[whole] || local == "noreply" || local == "no-reply" || local == "donotreply" || strings.HasSuffix(whole, "@localhost.localdomain")
}

// junkPhone reports a number that nobody has: one digit over and over, or those in a
// row. The country's code before it is no part of that.
func junkPhone(digits string) bool {
	tail := digits[max(0, len(digits)-9):]
	same, row := true, true
	for i := 1; i < len(tail); i++ {
		same = same && tail[i] == tail[0]
		row = row && (tail[i]-'0' == (tail[i-1]-'0'+1)%10)
	}
	return same || row
}
