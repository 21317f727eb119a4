package admin

import (
	"net/http"

	"github.com/labstack/echo/v5"
)

// route is one address: what it needs and what it does. There is no address
// that is not in the table, so none can be forgotten when it is asked who may.
type route struct {
	method, path string
	need         Role // public: anybody
	handle       echo.HandlerFunc
}

// public needs nobody to be signed in.
const public Role = ""

const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

func (a *Admin) routes() []route {
	return append(a.pages(), a.api()...)
}

// pages are the console. Forms can only GET and POST.
func (a *Admin) pages() []route {
	return []route{
		{get, "/static/*", public, a.static},
		{get, "/favicon.ico", public, a.favicon},
		{get, "/login", public, a.loginPage},
		{post, "/login", public, a.login},
		{post, "/login/code", public, a.codeForm},
		{get, ssoPath, public, a.ssoPage},
		{get, ssoBack, public, a.ssoBackPage},
		{post, "/logout", public, a.logout},
		{get, "/setup", public, a.setupPage},
		{post, "/setup", public, a.setup},
		{get, "/welcome", public, a.welcome},
		{post, "/theme", public, a.theme},

		{get, "/", Viewer, a.overviewPage},
		{get, "/tour", Viewer, a.tourPage},
		{get, "/live", Viewer, a.livePage},
		{get, "/events", Viewer, a.eventsPage},
		{post, "/events", Viewer, a.findEventsForm},
		{get, "/events/:id", Viewer, a.eventPage},

		{get, "/reports", Viewer, a.overTimePage},
		{get, "/reports/funnel", Viewer, a.funnelPage},
		{get, "/reports/consent", Viewer, a.consentPage},
		{get, "/reports/reconciliation", Viewer, a.reconciliationPage},
		{get, "/reports/duplicates", Viewer, a.duplicatesPage},
		{get, "/reports/latency", Viewer, a.latencyPage},
		{get, "/reports/loss", Viewer, a.lossPage},
		{post, "/reports/views", Viewer, a.saveViewForm},
		{post, "/reports/views/delete", Viewer, a.forgetViewForm},

		{get, "/pixels", Viewer, a.pixelsPage},
		{get, "/pixels/new", Marketer, a.newPixelPage},
		{post, "/pixels", Marketer, a.createPixelForm},
		{get, "/pixels/:id", Viewer, a.pixelPage},
		{get, "/pixels/:id/check", Viewer, a.installationPage},
		{post, "/pixels/:id", Marketer, a.updatePixelForm},
		{post, "/pixels/:id/delete", Marketer, a.deletePixelForm},
		{get, "/pixels/:id/routes/new", Marketer, a.newRoutePage},
		{get, "/pixels/:id/routes/:n", Marketer, a.routePage},
		{post, "/pixels/:id/routes", Marketer, a.saveRouteForm},
		{post, "/pixels/:id/routes/:n/switch", Marketer, a.switchRouteForm},
		{post, "/pixels/:id/routes/:n/delete", Marketer, a.deleteRouteForm},

		{get, "/partners", Viewer, a.partnersPage},
		{get, "/partners/:name", Viewer, a.partnerPage},
		{post, "/partners/:name/mode", Administrator, a.partnerModeForm},
		{post, "/partners/:name/dry", Administrator, a.partnerDryForm},
		{get, "/partners/:name/connect", Administrator, a.connectPage},
		{get, "/connected", Administrator, a.connectedPage},
		{get, "/at-risk", Viewer, a.atRiskPage},
		{get, "/match-readiness", Viewer, a.readinessPage},
		{post, "/partners/:name/settings", Administrator, a.partnerSettingsForm},
		{post, "/partners/:name/credentials", Administrator, a.partnerCredentialsForm},
		{post, "/partners/:name/test", Administrator, a.partnerTestForm},

		{get, "/queues", Viewer, a.queuesPage},
		{get, "/processes", Viewer, a.processesPage},
		{get, "/ledger", Viewer, a.ledgerPage},
		{get, "/attribution", Viewer, a.attributionPage},
		{post, "/attribution/run", Marketer, a.runAttributionForm},
		{get, "/dead/:queue", Viewer, a.deadPage},
		{post, "/dead/:queue/replay", Administrator, a.replayForm},
		{post, "/dead/:queue/drop", Administrator, a.dropForm},

		{get, "/backfills", Viewer, a.backfillsPage},
		{post, "/backfills", Administrator, a.backfillForm},
		{post, "/rehearsals", Marketer, a.rehearsalForm},
		{get, "/backfills/:id", Viewer, a.backfillPage},
		{post, "/backfills/:id/cancel", Administrator, a.cancelBackfillForm},
		{post, "/backfills/:id/resume", Administrator, a.resumeBackfillForm},

		{get, "/identities", Viewer, a.identitiesPage},
		{post, "/identities", Viewer, a.findIdentityForm},
		{post, "/identities/decide", Administrator, a.decideIdentityForm},

		{get, "/privacy/fields", Viewer, a.fieldsPage},
		{post, "/privacy/fields/decide", Administrator, a.decideFieldsForm},
		{post, "/privacy/fields/hold", Administrator, a.holdFieldsForm},
		{get, "/privacy/receipts", Administrator, a.receiptsPage},
		{post, "/privacy/receipts", Administrator, a.findReceiptsForm},
		{get, "/privacy/receipts/export", Administrator, a.exportReceipts},
		{get, "/privacy/erasures", Administrator, a.erasuresPage},
		{post, "/privacy/erasures", Administrator, a.erasuresForm},
		{get, "/privacy/erasures/:id", Administrator, a.erasurePage},

		{get, "/account", Viewer, a.accountPage},
		{post, "/account/password", Viewer, a.passwordForm},
		{post, "/account/factor", Viewer, a.offerFactorForm},
		{post, "/account/factor/prove", Viewer, a.proveFactorForm},
		{post, "/account/factor/off", Viewer, a.dropFactorForm},
		{post, "/account/sessions/:id/end", Viewer, a.endSessionForm},
		{get, "/people", Administrator, a.peoplePage},
		{post, "/people", Administrator, a.addUserForm},
		{post, "/people/:id/role", Administrator, a.roleForm},
		{post, "/people/:id/link", Administrator, a.userLinkForm},
		{post, "/people/:id/delete", Administrator, a.deleteUserForm},
		{post, "/people/:id/factor/off", Administrator, a.resetFactorForm},
		{post, "/people/tokens", Administrator, a.addTokenForm},
		{post, "/people/tokens/:id/revoke", Administrator, a.revokeTokenForm},
		{get, "/audit", Administrator, a.auditPage},
		{post, "/audit/:id/undo", Administrator, a.undoForm},
		{get, "/approvals", Administrator, a.approvalsPage},
		{post, "/approvals/:id/approve", Administrator, a.approveForm},
		{post, "/approvals/:id/reject", Administrator, a.rejectForm},
	}
}

// base is where the API begins; openapi.yaml describes every route of api.
const base = "/api/v1"

func (a *Admin) api() []route {
	return []route{
		{get, "/api/openapi.yaml", public, a.openapi},

		{get, base + "/pixels", Viewer, a.listPixels},
		{post, base + "/pixels", Marketer, a.createPixel},
		{get, base + "/pixels/:id", Viewer, a.getPixel},
		{patch, base + "/pixels/:id", Marketer, a.patchPixel},
		{remove, base + "/pixels/:id", Marketer, a.deletePixel},
		{get, base + "/pixels/:id/snippet", Viewer, a.getSnippet},
		{get, base + "/pixels/:id/installation", Viewer, a.getInstallation},
		{get, base + "/pixels/:id/tag-manager.tpl", Viewer, a.getTagManager},
		{put, base + "/pixels/:id/routes", Marketer, a.putRoutes},
		{get, base + "/pixels/:id/schemas", Viewer, a.getSchemas},
		{put, base + "/pixels/:id/schemas/:event", Marketer, a.putSchema},
		{remove, base + "/pixels/:id/schemas/:event", Marketer, a.deleteSchema},

		{get, base + "/partners", Viewer, a.listPartners},
		{get, base + "/partners/:name", Viewer, a.getPartner},
		{patch, base + "/partners/:name", Administrator, a.patchPartner},
		{post, base + "/partners/:name/test", Administrator, a.testPartner},

		{get, base + "/events", Viewer, a.listEvents},
		{get, base + "/events/live", Viewer, a.liveEvents},
		{get, base + "/events/:id", Viewer, a.getEvent},
		{get, base + "/syncs", Viewer, a.listSyncs},

		{get, base + "/processes", Viewer, a.listProcesses},
		{get, base + "/queues", Viewer, a.listQueues},
		{get, base + "/queues/:queue/messages", Viewer, a.peekQueue},
		{post, base + "/queues/:queue/skip", Administrator, a.skipMessages},
		{post, base + "/queues/:queue/drain", Administrator, a.drainQueue},
		{get, base + "/dlq/:queue", Viewer, a.listDead},
		{post, base + "/dlq/:queue/replay", Administrator, a.replayDead},
		{remove, base + "/dlq/:queue", Administrator, a.dropDead},

		{get, base + "/backfills", Viewer, a.listBackfills},
		{post, base + "/backfills", Administrator, a.createBackfill},
		{get, base + "/backfills/:id", Viewer, a.getBackfill},
		{post, base + "/backfills/:id/cancel", Administrator, a.cancelBackfill},
		{post, base + "/backfills/:id/resume", Administrator, a.resumeBackfill},
		{post, base + "/rehearsals", Marketer, a.createRehearsal},

		{get, base + "/reports/at-risk", Viewer, a.atRisk},
		{get, base + "/reports/timeseries", Viewer, a.timeseries},
		{get, base + "/reports/top", Viewer, a.top},
		{get, base + "/reports/attribution", Viewer, a.attributionReport},
		{get, base + "/reports/attribution/paths", Viewer, a.pathsReport},
		{post, base + "/reports/attribution/run", Marketer, a.runAttribution},
		{get, base + "/reports/consent", Viewer, a.consentReport},
		{get, base + "/reports/match-readiness", Viewer, a.readinessReport},
		{get, base + "/reports/ledger", Viewer, a.ledgerReport},
		{get, base + "/reports/reconciliation", Viewer, a.reconciliationReport},
		{get, base + "/reports/funnel", Viewer, a.funnelReport},
		{get, base + "/reports/loss", Viewer, a.lossReport},
		{get, base + "/reports/latency", Viewer, a.latencyReport},
		{get, base + "/reports/duplicates", Viewer, a.duplicatesReport},

		{get, base + "/identities/:id", Viewer, a.getIdentity},
		{post, base + "/identities/:id/unlink", Administrator, a.decideIdentity(unlink)},
		{post, base + "/identities/:id/relink", Administrator, a.decideIdentity(relink)},
		{post, base + "/identities/:id/isolate", Administrator, a.decideIdentity(isolate)},
		{post, base + "/identities/:id/release", Administrator, a.decideIdentity(release)},
		{get, base + "/quarantine", Viewer, a.listQuarantine},

		{get, base + "/fields", Viewer, a.fieldsReport},
		{get, base + "/fields/waiting", Viewer, a.listWaitingFields},
		{post, base + "/fields/decide", Administrator, a.postDecision},
		{post, base + "/fields/hold", Administrator, a.postHold},
		{get, base + "/consent/receipts", Administrator, a.listReceipts},
		{get, base + "/erasures", Administrator, a.listErasures},
		{post, base + "/erasures", Administrator, a.createErasure},
		{get, base + "/erasures/:id", Administrator, a.getErasure},
		{get, base + "/erasures/:id/certificate", Administrator, a.getCertificate},
		{get, base + "/audit", Administrator, a.listAudit},
		{post, base + "/audit/:id/undo", Administrator, a.undoChange},
		{get, base + "/approvals", Administrator, a.listApprovals},
		{post, base + "/approvals/:id/approve", Administrator, a.approve},
		{post, base + "/approvals/:id/reject", Administrator, a.reject},
		{get, base + "/users", Administrator, a.listUsers},
		{post, base + "/users", Administrator, a.createUser},
		{patch, base + "/users/:id", Administrator, a.patchUser},
		{remove, base + "/users/:id", Administrator, a.deleteUser},
		{get, base + "/tokens", Administrator, a.listTokens},
		{post, base + "/tokens", Administrator, a.createToken},
		{remove, base + "/tokens/:id", Administrator, a.deleteToken},
	}
}
