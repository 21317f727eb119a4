package config

// Identity bounds what one person may be: see modules/identity.
type Identity struct {
	MaxCustomers int `koanf:"max_customers"` // customer ids that one identifier was seen with
	MaxContacts  int `koanf:"max_contacts"`  // e-mail addresses, and as many telephones
	MaxBrowsers  int `koanf:"max_browsers"`  // browsers, and as many devices and partners' cookies
	MaxProfile   int `koanf:"max_profile"`   // identifiers of one profile
}

func (i Identity) check(bad *Invalid) {
	for key, v := range map[string]struct{ n, most int }{
		"identity.max_customers": {i.MaxCustomers, 100}, "identity.max_contacts": {i.MaxContacts, 100},
		"identity.max_browsers": {i.MaxBrowsers, 1000}, "identity.max_profile": {i.MaxProfile, 2000},
	} {
		if v.n < 1 || v.n > v.most {
			bad.add(key, "must be from 1 to %d", v.most)
		}
	}
}
