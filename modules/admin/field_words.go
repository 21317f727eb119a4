package admin

import (
	"cmp"
	"regexp"
	"strings"
	"unicode"
)

// fieldGroups are plain words by the end of a path: what is said of the person first,
// and what we set last.
var fieldGroups = [...]map[string]string{
	{ // who it was
		"email": "E-mail address, hashed", "emailaddress": "E-mail address, hashed", "hashedemail": "E-mail address, hashed", "matchkeys[email].values": "E-mail address, hashed",
		"phone": "Telephone number, hashed", "phonenumber": "Telephone number, hashed", "hashedphonenumber": "Telephone number, hashed", "matchkeys[phone].values": "Telephone number, hashed",
		"givenname": "First name, hashed", "hashedfirstname": "First name, hashed", "matchkeys[firstname].values": "First name, hashed",
		"familyname": "Last name, hashed", "hashedlastname": "Last name, hashed", "matchkeys[lastname].values": "Last name, hashed",
		"hashedstreetaddress": "Street, hashed", "matchkeys[address].values": "Street, hashed",
		"addressinfo.city": "Town of the address", "matchkeys[city].values": "Town of the address, hashed", "addressinfo.state": "State of the address", "matchkeys[state].values": "State of the address, hashed",
		"addressinfo.postalcode": "Postal code of the address", "address.postalcode": "Postal code of the address", "matchkeys[postal].values": "Postal code of the address, hashed",
		"addressinfo.countrycode": "Country of the address", "address.regioncode": "Country of the address",
		"matchkeys[maid].values": "Device's advertising id", "gpsaid": "Device's advertising id, Android", "idfa": "Device's advertising id, iOS", "mobiledeviceid": "Device's advertising id",
		"tdid": "The Trade Desk's id for the visitor (TDID)", "uid2": "UID2", "uid2token": "UID2", "euid": "EUID", "euidtoken": "EUID", "idl": "RampID",
		"aaid": "Device's advertising id, Android", "daid": "Device's advertising id", "naid": "Device's advertising id",
		"adid": "The Trade Desk's id or another for the visitor", "adidtype": "Kind of that id", "useridarray": "Identifiers of the visitor, with their kinds",
		"matchkeys[rampid].values": "RampID", "matchid": "Match id of the site", "matchkeys[matchid].values": "Match id of the site", "pxid": "Yahoo's id for the visitor",
		"encrypteduserid": "Google's encrypted id for the visitor", "encrypteduseridcandidates": "Google's encrypted id for the visitor", "encryptedid": "Google's encrypted id for the visitor",
	},
	{ // which click or sight of an ad
		"dclid": "Click id, Google (dclid)", "gclid": "Click id, Google (gclid)", "gbraid": "Click id, Google (gbraid)", "wbraid": "Click id, Google (wbraid)",
		"vmcid": "Click id, Yahoo (vmcid)", "tblci": "Click id, Taboola (tblci)", "impressionid": "Id of the ad that was seen", "imp": "Id of the ad that was seen",
		"arefmeasurementtokens": "Click id, Amazon (aref)", "amazonadeventkey": "Click id, Amazon", "sessionattributesencoded": "Session attributes of the click, Google",
	},
	{ // where they were, and with what
		"clientip": "Visitor's network address (IP)", "matchkeys[fip].values": "Visitor's network address (IP)", "ipaddress": "Visitor's network address (IP)", "useragent": "Browser's name (user agent)",
		"referrerurl": "Page's address", "actionsourceurl": "Page's address",
		"country": "Country", "countrycode": "Country", "region": "Region", "city": "Town", "zip": "Postal code", "metro": "Metropolitan area",
	},
	{ // what they did
		"eventname": "Event's name", "ea": "Event's name", "eventid": "Event's id", "orderid": "Order's number", "transactionid": "Order's number or event's id", "ordinal": "Order's number or event's id", "id": "Event's id",
		"eventtime": "Time of the event", "eventts": "Time of the event", "et": "Time of the event", "timestamputc": "Time of the event", "timestampmicros": "Time of the event", "eventtimestamp": "Time of the event", "lastupdatedtimestamp": "Time of the last change",
		"value": "Value of the order", "conversionvalue": "Value of the order", "gv": "Value of the order", "eventdata.price": "Value of the order",
		"currency": "Currency", "currencycode": "Currency", "valuecurrency": "Currency", "gc": "Currency", "unitssold": "Number of units", "quantity": "Number of units", "conversioncount": "Number of units",
		"items.itemcode": "Item: its number", "lineitems.itemcode": "Item: its number", "items.itemid": "Item: its number", "items.merchantproductid": "Item: its number",
		"items.name": "Item: its name", "items.qty": "Item: how many", "items.quantity": "Item: how many", "items.price": "Item: its price", "items.unitprice": "Item: its price", "items.cat": "Item: its category",
		"products.category": "Item: its category", "products.subcategory": "Item: its category, finer", "ec": "Item: its category", "transactiondiscount": "Discount of the order",
	},
	{ // what they allowed
		"privacysettings.privacytype": "Consent: kind of signal", "privacy.privacytype": "Consent: kind of signal", "privacysettings.isapplicable": "Consent: whether the law applies",
		"privacysettings.consentstring": "Consent: the signal itself", "privacy.consentstring": "Consent: the signal itself", "privacy.gppsid": "Consent: sections of the GPP string",
		"consent.tcf": "Consent: TC string", "consent.gpp": "Consent: GPP string", "geo.ipaddress": "Visitor's network address (IP), for the consent",
		"amazonconsent.amznuserdata": "Consent: use of personal data", "amazonconsent.amznadstorage": "Consent: storage for ads", "aduserdataconsent": "Consent: use of personal data", "consent.aduserdata": "Consent: use of personal data", "consent.adpersonalization": "Consent: personal ads",
		"nonpersonalizedad": "Consent: no personal ads", "limitadtracking": "Limited tracking", "treatmentforunderage": "Under the age of consent", "childdirectedtreatment": "For children",
		"dataprocessingoption.policies": "Limited use of data", "dataprocessingoption.region": "Limited use of data: region", "dataprocessingoptions.options": "Limited use of data",
	},
	{ // what we set
		"trackerid": "Partner's tracker", "upixelid": "Partner's tracker", "trackingtagid": "Partner's tracker", "adv": "Advertiser at the partner", "merchantid": "Merchant at the partner",
		"floodlightactivityid": "Floodlight activity", "floodlightconfigurationid": "Floodlight configuration", "kind": "Kind of message (fixed)", "actionsource": "Where the event came from", "eventsource": "Where the event came from",
		"eventdescription.name": "Event's name at the partner", "eventdescription.conversiontype": "Type of conversion", "eventdescription.eventsource": "Where the event came from",
		"eventdescription.eventingestionmethod": "Way it was sent", "type": "Kind of identifier or field (fixed)", "iattr": "Whether the event is owed to that ad", "ivtc": "Whether the ad was only seen",
		"td1": "Dimension 1 of the route", "td2": "Dimension 2 of the route", "td3": "Dimension 3 of the route", "td4": "Dimension 4 of the route", "td5": "Dimension 5 of the route",
		"td6": "Dimension 6 of the route", "td7": "Dimension 7 of the route", "td8": "Dimension 8 of the route", "td9": "Dimension 9 of the route", "td10": "Dimension 10 of the route",
		"validateonly": "Only a test", "body": "A body that is no list of fields",
		"…": "More fields than are listed",
	},
}

var (
	fieldList = regexp.MustCompile(`^(data|events|conversions|Items)?\[\]\.?`)
	fieldType = regexp.MustCompile(`\[([^\]]*)\]`)
	fieldOwn  = regexp.MustCompile(`(?:customData|customKeyValues)[.\[]([^\].\[]+)\]?$`)
)

// fieldWords says what is at a path, in plain words where we know them: by the longest
// end of the path that is known.
func fieldWords(path string) string {
	if own := fieldOwn.FindStringSubmatch(path); own != nil {
		return "Site's own attribute: " + own[1]
	}
	if words := fieldKnown(path); words != "" {
		return words
	}
	return cmp.Or(spelled(fieldList.ReplaceAllString(path, "")), path)
}

func fieldKnown(path string) string {
	p := strings.ToLower(fieldList.ReplaceAllString(path, ""))
	p = fieldType.ReplaceAllStringFunc(p, func(s string) string {
		if s == "[]" {
			return ""
		}
		return s
	})
	p = strings.NewReplacer("_", "", "-", "").Replace(p)
	for p != "" {
		for _, names := range fieldGroups {
			if w, ok := names[p]; ok {
				return w
			}
		}
		_, rest, more := strings.Cut(p, ".")
		if !more {
			break
		}
		p = rest
	}
	return ""
}

// fieldRanks are the places of the plain words on the page.
var fieldRanks = func() map[string]int {
	ranks := map[string]int{}
	for i, g := range fieldGroups {
		for _, w := range g {
			if _, there := ranks[w]; !there {
				ranks[w] = i
			}
		}
	}
	return ranks
}()

func fieldRank(words string) int {
	if i, ok := fieldRanks[words]; ok {
		return i
	}
	return len(fieldGroups)
}

// spelled writes "eventDescription.dataSetName" as "Event description: data set name".
func spelled(path string) string {
	parts := strings.Split(strings.Trim(path, "."), ".")
	for i, p := range parts {
		kind := ""
		if m := fieldType.FindStringSubmatch(p); m != nil && m[1] != "" {
			kind = " " + m[1]
		}
		var b strings.Builder
		last := ' '
		for _, r := range fieldType.ReplaceAllString(p, "") {
			switch {
			case r == '_' || r == '-':
				r = ' '
			case unicode.IsUpper(r) && unicode.IsLower(last):
				b.WriteRune(' ')
			}
			b.WriteRune(unicode.ToLower(r))
			last = r
		}
		parts[i] = b.String() + kind
	}
	s := strings.Join(parts, ": ")
	if s == "" {
		return ""
	}
	r := []rune(s)
	return string(unicode.ToUpper(r[0])) + string(r[1:])
}
