package enrich

// datacenters are networks that rent out servers, by number: whoever comes from one
// is a program, or a person behind one. Networks that people's traffic leaves by, as
// those of VPN services, of Apple's Private Relay and of telephone companies, are left
// out though they have servers too. Lists that others keep (geo.datacenters) go before.
var datacenters = map[int]string{
	16509: "Amazon", 14618: "Amazon", 8987: "Amazon", 396982: "Google Cloud", 19527: "Google Cloud",
	8075: "Microsoft", 8068: "Microsoft", 8069: "Microsoft", 31898: "Oracle", 36351: "IBM Cloud",
	45102: "Alibaba", 37963: "Alibaba", 45090: "Tencent", 132203: "Tencent", 136907: "Huawei Cloud", 55990: "Huawei Cloud", 59019: "Kingsoft Cloud", 200350: "Yandex Cloud",
	16276: "OVH", 35540: "OVH", 24940: "Hetzner", 213230: "Hetzner", 212317: "Hetzner", 14061: "DigitalOcean", 63949: "Linode", 20473: "Vultr",
	12876: "Scaleway", 51167: "Contabo", 40021: "Contabo", 141995: "Contabo", 60781: "Leaseweb", 28753: "Leaseweb", 16265: "Leaseweb", 395954: "Leaseweb", 30633: "Leaseweb", 394380: "Leaseweb",
	197540: "netcup", 47583: "Hostinger", 29802: "Hivelocity", 46606: "Unified Layer", 26496: "GoDaddy", 398101: "GoDaddy", 34788: "Neue Medien Muennich", 8560: "IONOS",
	8972: "Host Europe", 20773: "Host Europe", 53667: "FranTech", 36352: "HostPapa", 54290: "HostPapa", 8100: "QuadraNet", 55286: "B2 Net Solutions", 63473: "HostHatch",
	49981: "WorldStream", 50673: "Serverius", 35916: "Multacom", 46562: "Performive", 23470: "ReliableSite", 40676: "Psychz Networks", 19318: "Interserver", 55720: "Gigabit Hosting",
	49505: "Selectel", 197695: "REG.RU", 9123: "Timeweb", 48282: "VDSINA", 57043: "Hostkey", 44066: "firstcolo", 58061: "Scalaxy", 24961: "myLoc", 29066: "velia.net", 30083: "velia.net",
	21409: "Ikoula", 43350: "NForce", 25820: "IT7 Networks", 62904: "Eonix", 32475: "Internap", 19994: "Rackspace", 27357: "Rackspace", 33070: "Rackspace", 10439: "CariNet",
	22612: "Namecheap", 14576: "Hosting Solution", 53850: "GorillaServers", 26347: "DreamHost", 13213: "UK-2", 36007: "Kamatera", 51852: "Private Layer", 200651: "FlokiNET", 210644: "Aeza",
}
