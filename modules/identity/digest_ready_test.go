package identity_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/miq/pixel/modules/event"
	"github.com/miq/pixel/modules/identity"
)

func TestADigestThatCameReadyIsNeverHashedAgain(t *testing.T) {
	want := sha("buyer@example.com")
	raw := sha256.Sum256([]byte("buyer@example.com"))
	for name, s := range map[string]string{
		"hex": want, "hex in capitals": strings.ToUpper(want), "hex with blanks": " " + want + "\n",
		"base64": base64.StdEncoding.EncodeToString(raw[:]), "base64 without its sign": base64.RawStdEncoding.EncodeToString(raw[:]),
		"base64 for addresses": base64.URLEncoding.EncodeToString(raw[:]), "the same without its sign": base64.RawURLEncoding.EncodeToString(raw[:]),
	} {
		for field, in := range map[string]event.Identity{"email": {Email: s}, "email_sha256": {EmailSHA256: s}} {
			if got := identity.Digest(in, "").Email; got != want {
				t.Errorf("%s as %s: %q", name, field, got)
			}
		}
		for field, in := range map[string]event.Identity{"phone": {Phone: s}, "phone_sha256": {PhoneSHA256: s}} {
			if got := identity.Digest(in, "GB").PhoneE164; got != want {
				t.Errorf("%s as %s: %q", name, field, got)
			}
		}
		if got := identity.Digest(event.Identity{Address: event.Address{FirstName: s}}, "").FirstName; got != want {
			t.Errorf("%s as first name: %q", name, got)
		}
	}
}

func TestJunkNeverBecomesADigest(t *testing.T) {
	for _, mail := range []string{"", "  ", "n/a", "none", "null", "undefined", "@", "a@", "@b.com", "a@b", "none@none.com", " Test@Test.com", "noreply@shop.example", "a@b@c.com", "x@..", "[object Object]"} {
		for name, in := range map[string]event.Identity{
			"plain": {Email: mail}, "ready": {EmailSHA256: sha(mail)}, "ready, trimmed": {EmailSHA256: sha(strings.ToLower(strings.TrimSpace(mail)))},
		} {
			if s := identity.Digest(in, ""); name == "plain" && (s.Email != "" || s.EmailGoogle != "" || s.EmailCM360 != "") {
				t.Errorf("%q gave %q", mail, s.Email)
			}
		}
	}
	for _, of := range []string{"", " ", "none", "null", "undefined", "n/a", "none@none.com", "test@test.com"} {
		raw := sha256.Sum256([]byte(of))
		for _, s := range []string{sha256OfNothing, sha(of), base64.StdEncoding.EncodeToString(raw[:])} {
			if got := identity.Digest(event.Identity{EmailSHA256: s, PhoneSHA256: s}, ""); got.Email != "" || got.PhoneE164 != "" {
				t.Errorf("the digest of %q is kept", of)
			}
		}
	}
	for _, phone := range []string{"0000000000", "+44 0000000000", "1111111111", "123456789", "+1 123456789", "-", "n/a", "+"} {
		if got := identity.Digest(event.Identity{Phone: phone}, "US"); got.PhoneE164 != "" {
			t.Errorf("%q gave a digest", phone)
		}
	}
	if got := identity.Digest(event.Identity{Address: event.Address{FirstName: "undefined", LastName: "N/A", Street: "--", City: "unknown", PostalCode: "0", Country: "GB"}}, ""); got.FirstName+got.LastName+got.Street+got.City+got.PostalCode != "" {
		t.Errorf("%+v", got)
	}
}

// The worked example of UID2's documentation on normalisation and encoding.
func TestUID2WantsBase64(t *testing.T) {
	const hex, base = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514", "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ="
	if got := identity.Digest(event.Identity{Email: "user@example.com"}, "").EmailGoogle; got != hex {
		t.Errorf("hex %s", got)
	}
	if got := identity.Base64(hex); got != base {
		t.Errorf("base64 %s", got)
	}
	if got := identity.Base64("no digest"); got != "" {
		t.Errorf("%q", got)
	}
}

func TestACustomersIDThatIsATelephoneNumberIsHidden(t *testing.T) {
	for id, stays := range map[string]bool{"+44 20 7946 0123": false, "+442079460123": false, "4711": true, "c-+44": true, "442079460123": true} {
		if got := identity.Digest(event.Identity{UserID: id}, "").UserID; (got == id) != stays {
			t.Errorf("%q is kept as %q", id, got)
		}
	}
}
