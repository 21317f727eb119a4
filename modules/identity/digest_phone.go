package identity

import "strings"

// phone returns the digests of a number by E.164 with its + and as digits alone.
// A number counts as international when it begins with + or 00; any other needs
// a country that we know the code of. What is not clearly a number gives nothing:
// a digest of a wrong number matches nobody, or somebody else.
func phone(s, country string) (e164, digits string) {
	s = strings.TrimSpace(s)
	if r := ready(s); r != "" {
		return r, ""
	}
	n := international(s, country)
	if len(n) < 8 || len(n) > 15 || n[0] == '0' || junkPhone(n) {
		return "", ""
	}
	return sum("+" + n), sum(n)
}

// international returns the digits of a number with its country code.
func international(s, country string) string {
	plus := strings.HasPrefix(s, "+")
	s = strings.TrimPrefix(s, "+")
	if plus {
		// As printed on letterheads, for those who dial from abroad and at home.
		s = strings.Replace(s, "(0)", "", 1)
	}
	n := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			n = append(n, byte(r))
		case strings.ContainsRune(" -.()/\u00a0\u2010\u2011\u2013", r):
		default:
			return "" // an extension, a second number, a word
		}
	}
	d := string(n)
	if plus {
		return d
	}
	if rest, ok := strings.CutPrefix(d, "00"); ok {
		return rest
	}
	p, ok := plan(country)
	if !ok {
		return ""
	}
	if p.code == "1" {
		if rest, ok := strings.CutPrefix(d, "011"); ok && len(rest) > 10 {
			return rest
		}
		if d = strings.TrimPrefix(d, "1"); len(d) != 10 {
			return ""
		}
		return "1" + d
	}
	switch {
	case p.trunk != "" && strings.HasPrefix(d, p.trunk):
		return p.code + d[len(p.trunk):]
	case len(d) > 10 && strings.HasPrefix(d, p.code):
		return d // written with its country code, but without the +
	}
	return p.code + d
}

// numbering is how a country's numbers begin: its code, and what is dialled
// before the area at home and left out from abroad.
type numbering struct{ code, trunk string }

// plan knows the countries that most sites sell in.
func plan(country string) (numbering, bool) {
	switch country {
	case "US", "CA", "PR":
		return numbering{"1", "1"}, true
	case "GB":
		return numbering{"44", "0"}, true
	case "IE":
		return numbering{"353", "0"}, true
	case "FR":
		return numbering{"33", "0"}, true
	case "DE":
		return numbering{"49", "0"}, true
	case "AT":
		return numbering{"43", "0"}, true
	case "CH":
		return numbering{"41", "0"}, true
	case "NL":
		return numbering{"31", "0"}, true
	case "BE":
		return numbering{"32", "0"}, true
	case "LU":
		return numbering{"352", ""}, true
	case "IT":
		return numbering{"39", ""}, true // the 0 belongs to the number
	case "ES":
		return numbering{"34", ""}, true
	case "PT":
		return numbering{"351", ""}, true
	case "SE":
		return numbering{"46", "0"}, true
	case "NO":
		return numbering{"47", ""}, true
	case "DK":
		return numbering{"45", ""}, true
	case "FI":
		return numbering{"358", "0"}, true
	case "PL":
		return numbering{"48", ""}, true
	case "CZ":
		return numbering{"420", ""}, true
	case "SK":
		return numbering{"421", "0"}, true
	case "HU":
		return numbering{"36", "06"}, true
	case "RO":
		return numbering{"40", "0"}, true
	case "BG":
		return numbering{"359", "0"}, true
	case "GR":
		return numbering{"30", ""}, true
	case "TR":
		return numbering{"90", "0"}, true
	case "IL":
		return numbering{"972", "0"}, true
	case "AE":
		return numbering{"971", "0"}, true
	case "SA":
		return numbering{"966", "0"}, true
	case "ZA":
		return numbering{"27", "0"}, true
	case "IN":
		return numbering{"91", "0"}, true
	case "SG":
		return numbering{"65", ""}, true
	case "HK":
		return numbering{"852", ""}, true
	case "JP":
		return numbering{"81", "0"}, true
	case "KR":
		return numbering{"82", "0"}, true
	case "AU":
		return numbering{"61", "0"}, true
	case "NZ":
		return numbering{"64", "0"}, true
	case "BR":
		return numbering{"55", "0"}, true
	case "MX":
		return numbering{"52", ""}, true
	}
	return numbering{}, false
}
