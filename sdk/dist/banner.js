(()=>{var A=["none","partial","full"];function x(e,t){return A[Math.min(A.indexOf(e),A.indexOf(t))]||"none"}function K(e){return e.analytics_storage!="granted"?"none":e.ad_storage=="granted"&&e.ad_user_data=="granted"?"full":"partial"}function M(e){let t=e=="full"?"granted":"denied";return{ad_storage:t,ad_user_data:t,ad_personalization:t,analytics_storage:e=="none"?"denied":"granted"}}function R(e,t,n=window.__uspapi){if(typeof n!="function")return t();n("getUSPData",1,i=>{i?.uspString?.length==4&&(e.us_privacy=i.uspString),t()})}function J(e,{signals:t}){return"gcm"in e?(t.gcm={...t.gcm,...e.gcm},K(t.gcm)):x(e.state,"full")}function O(e){let{config:t,signals:n,tell:i}=e,o,r="full",f=d=>{o=d;let{globalPrivacyControl:g}=navigator;g!==void 0&&(n.gpc=!!g);let l=t.ignore_gpc_in_gdpr&&n.gdpr_applies,p=n.gpc&&!l||/^1(N|.Y)/i.test(n.us_privacy||"");i("found"),i("answered"),i(x(x(d,r),p?"partial":"full"))};return{decide:f,cap(d){r=J(d,e),o&&f(o)}}}var I="_miq",U={t:"localStorage"};function j(e,t=U.t){try{return window[t].getItem(I+e)}catch{return null}}function q(e,t,n=U.t){try{return t===void 0?window[n].removeItem(I+e):window[n].setItem(I+e,t),!0}catch{return!1}}var P="_consent",Q=182*864e5;function C(e=Date.now()){if(j(P,"sessionStorage")=="refused")return"none";try{let{state:t,time:n}=JSON.parse(j(P,"localStorage")||"{}");if((t=="full"||t=="partial")&&e-n<Q)return t}catch{}}function D(e,t=Date.now()){q(P,e=="none"?void 0:JSON.stringify({state:e,time:t}),"localStorage"),q(P,e=="none"?"refused":void 0,"sessionStorage")}var W=`:host{all:initial!important;position:fixed!important;inset:auto auto 24px 24px!important;z-index:2147483647!important;width:min(440px,calc(100vw - 48px))!important;color-scheme:light dark!important}:host(miq-privacy){inset:auto auto 16px 16px!important;width:auto!important;z-index:2147483646!important}section,.reopen{--paper: #fff;--ink: #14161a;--soft: #545b66;--line: #e3e6ea;--edge: #7d8590;--fill: #14161a;--on-fill: #fff;--hover: #2e333b;--tint: #f3f4f6;--focus: #2563eb;box-sizing:border-box;font:400 14px/1.55 system-ui,-apple-system,Segoe UI,Roboto,Helvetica Neue,Arial,sans-serif;color:var(--ink);-webkit-font-smoothing:antialiased}section{position:relative;max-height:calc(100vh - 48px);max-height:calc(100dvh - 48px);overflow:auto;padding:24px;border:1px solid var(--line);border-radius:16px;outline:0;background:var(--paper);box-shadow:0 1px 2px #0000000f,0 16px 48px -8px #00000038;text-align:start}h2{margin:0 0 8px;padding-inline-end:24px;font:inherit;font-size:17px;font-weight:650;line-height:1.3;letter-spacing:-.01em}p{margin:0 0 20px;color:var(--soft)}a{color:var(--ink);text-underline-offset:3px}[hidden]{display:none!important}.actions{display:grid;grid-template-columns:1fr 1fr;gap:8px}.row{display:grid;grid-template-columns:1fr auto;align-items:center;gap:2px 12px;padding:12px 0;border-top:1px solid var(--line)}.row:nth-last-child(2){margin-bottom:16px;border-bottom:1px solid var(--line)}.row p{grid-column:1;margin:0;font-size:13px;line-height:1.45}label,strong{font-weight:600;cursor:inherit}label{cursor:pointer}.always{color:var(--soft);font-size:13px}input{appearance:none;grid-row:1 / span 2;grid-column:2;width:44px;height:26px;margin:0;border:1.5px solid var(--edge);border-radius:13px;background:radial-gradient(circle at 12px 50%,var(--edge) 7.5px,transparent 8.5px);cursor:pointer;transition:background-color .15s}input:checked{border-color:var(--fill);background:radial-gradient(circle at calc(100% - 12px) 50%,var(--on-fill) 7.5px,transparent 8.5px),var(--fill)}button{min-height:44px;padding:8px 12px;border:1px solid transparent;border-radius:10px;background:var(--fill);color:var(--on-fill);font:inherit;font-weight:600;line-height:1.25;cursor:pointer;transition:background-color .15s}button:hover{background:var(--hover)}.quiet,.link{grid-column:1 / -1;border-color:var(--edge);background:transparent;color:var(--ink)}.link{min-height:32px;padding:4px;border-color:transparent;color:var(--soft);font-weight:400;text-decoration:underline;text-underline-offset:3px}.quiet:hover,.link:hover,.close:hover{background:var(--tint)}.close{position:absolute;top:12px;inset-inline-end:12px;min-height:36px;width:36px;padding:0;background:transparent;color:var(--soft);font-size:22px;font-weight:400;line-height:1}.reopen{min-height:32px;padding:5px 12px;border:1px solid var(--line);border-radius:16px;background:var(--paper);font-size:12px;font-weight:500;box-shadow:0 1px 4px #0000001f}.reopen:hover{background:var(--tint)}:focus-visible:not(section){outline:2px solid var(--focus);outline-offset:2px}@media(prefers-color-scheme:dark){section,.reopen{--paper: #1b1e24;--ink: #f3f4f6;--soft: #a9b1bd;--line: #343a44;--edge: #8b939f;--fill: #f3f4f6;--on-fill: #14161a;--hover: #d5d9df;--tint: #272b33;--focus: #7aa7ff}}@media(forced-colors:active){input{appearance:auto;width:22px;height:22px}}@media(max-width:480px){:host{inset:auto 12px 12px!important;width:auto!important}section{max-height:calc(100vh - 24px);max-height:calc(100dvh - 24px);padding:20px}}@media(prefers-reduced-motion:no-preference){section{animation:rise .28s cubic-bezier(.2,.8,.2,1)}}@keyframes rise{0%{opacity:0;transform:translateY(12px)}}@media print{:host{display:none!important}}
`;function a(e,t,...n){let i=document.createElement(e);for(let o of Object.keys(t))i.setAttribute(o,t[o]);return i.append(...n),i}function B(e,t,...n){let i=a(e,{lang:t}),o=i.attachShadow({mode:"open"});try{let r=new CSSStyleSheet;r.replaceSync(W),o.adoptedStyleSheets=[r]}catch{o.append(a("style",{},W))}return o.append(...n),document.body.prepend(i),i}function v(e,t,n){let i=a("button",{type:"button",class:e},t);return i.onclick=n,i}function G({words:e,code:t,current:n,privacyURL:i,choose:o}){let r=document.activeElement,f,d=a("p",{id:"about"},e.body);i&&/^(https?:|\/)/i.test(i)&&d.append(" ",a("a",{href:i,target:"_blank",rel:"noopener"},e.privacy));let g=(c,N,V,Y)=>{let T=a("input",{type:"checkbox",id:c,"aria-describedby":c+"-about"});T.checked=Y;let F=a("div",{class:"row"},a("label",{for:c},N),T,a("p",{id:c+"-about"},V));return{input:T,row:F}},l=g("analytics",e.analytics,e.analytics_about,n=="partial"||n=="full"),p=g("advertising",e.advertising,e.advertising_about,n=="full");p.input.onchange=()=>p.input.checked&&(l.input.checked=!0),l.input.onchange=()=>l.input.checked||(p.input.checked=!1);let _=a("div",{class:"row"},a("strong",{},e.necessary),a("span",{class:"always"},e.always),a("p",{},e.necessary_about)),w=()=>[v("main",e.refuse,()=>o("none")),v("main",e.accept,()=>o("full"))],h=v("quiet",e.save,()=>o(p.input.checked?"full":l.input.checked?"partial":"none")),b=v("quiet",e.settings,()=>S(!0)),k=v("link",e.back,()=>S(!1)),y=a("div",{class:"actions"},...w(),b),u=a("div",{},_,l.row,p.row,a("div",{class:"actions"},...w(),h,k)),S=c=>{y.hidden=c,u.hidden=!c,(c?l.input:b).focus()};u.hidden=!0;let s=a("section",{role:"dialog","aria-labelledby":"title","aria-describedby":"about",tabindex:"-1"},a("h2",{id:"title"},e.title),d,y,u);if(n){let c=v("close","×",()=>o());c.setAttribute("aria-label",e.close),s.append(c),y.hidden=!0,u.hidden=!1,s.onkeydown=N=>N.key=="Escape"&&o()}f=B("miq-consent",t,s);let z=()=>s.focus({preventScroll:!0});return(n||!r||r==document.body)&&z(),{focus:z,close(){f.remove(),n&&r?.focus?.()}}}function L(e,t,n){return B("miq-privacy",t,v("reopen",e.reopen,n))}var $="title body accept refuse settings save back necessary necessary_about always analytics analytics_about advertising advertising_about privacy close reopen".split(" "),Z={en:`Your privacy, your choice
With your consent we use cookies and similar techniques to measure visits and to show you relevant advertising. You can change your mind at any time.
Accept all
Refuse all
Settings
Save choice
Back
Necessary
Needed for the site to work. Nothing is shared.
Always on
Analytics
Counts visits, to make the site better. Not shared with advertisers.
Advertising
Shows you relevant advertising and measures it, with our partners.
Privacy policy
Close without changes
Privacy settings`,de:`Ihre Daten, Ihre Wahl
Mit Ihrer Einwilligung nutzen wir Cookies und ähnliche Techniken, um Besuche zu messen und Ihnen passende Werbung zu zeigen. Sie können Ihre Wahl jederzeit ändern.
Alle akzeptieren
Alle ablehnen
Einstellungen
Auswahl speichern
Zurück
Notwendig
Nötig, damit die Website funktioniert. Nichts wird weitergegeben.
Immer aktiv
Statistik
Zählt Besuche, um die Website zu verbessern. Keine Weitergabe an Werbetreibende.
Werbung
Zeigt Ihnen passende Werbung und misst sie, mit unseren Partnern.
Datenschutz
Ohne Änderung schließen
Datenschutz-Einstellungen`,fr:`Votre vie privée, votre choix
Avec votre accord, nous utilisons des cookies et des techniques similaires pour mesurer les visites et vous proposer des publicités pertinentes. Vous pouvez changer d’avis à tout moment.
Tout accepter
Tout refuser
Paramètres
Enregistrer
Retour
Nécessaires
Indispensables au fonctionnement du site. Rien n’est partagé.
Toujours actifs
Mesure d’audience
Compte les visites pour améliorer le site. Rien n’est partagé avec les annonceurs.
Publicité
Vous propose des publicités pertinentes et les mesure, avec nos partenaires.
Politique de confidentialité
Fermer sans modifier
Gérer mes choix`,es:`Su privacidad, su elección
Con su consentimiento usamos cookies y técnicas similares para medir las visitas y mostrarle publicidad relevante. Puede cambiar de opinión en cualquier momento.
Aceptar todo
Rechazar todo
Configuración
Guardar
Volver
Necesarias
Imprescindibles para que el sitio funcione. No se comparte nada.
Siempre activas
Analítica
Cuenta las visitas para mejorar el sitio. No se comparte con anunciantes.
Publicidad
Le muestra publicidad relevante y la mide, con nuestros socios.
Política de privacidad
Cerrar sin cambios
Opciones de privacidad`,it:`La sua privacy, la sua scelta
Con il suo consenso usiamo cookie e tecniche simili per misurare le visite e mostrarle pubblicità pertinente. Può cambiare idea in qualsiasi momento.
Accetta tutto
Rifiuta tutto
Impostazioni
Salva la scelta
Indietro
Necessari
Servono al funzionamento del sito. Nulla viene condiviso.
Sempre attivi
Statistiche
Contano le visite per migliorare il sito. Non condivise con gli inserzionisti.
Pubblicità
Le mostra pubblicità pertinente e la misura, con i nostri partner.
Informativa sulla privacy
Chiudi senza modifiche
Impostazioni privacy`,nl:`Uw privacy, uw keuze
Met uw toestemming gebruiken we cookies en vergelijkbare technieken om bezoeken te meten en u relevante advertenties te tonen. U kunt uw keuze altijd wijzigen.
Alles accepteren
Alles weigeren
Instellingen
Keuze opslaan
Terug
Noodzakelijk
Nodig om de site te laten werken. Er wordt niets gedeeld.
Altijd aan
Statistieken
Telt bezoeken om de site te verbeteren. Niet gedeeld met adverteerders.
Advertenties
Toont u relevante advertenties en meet ze, met onze partners.
Privacybeleid
Sluiten zonder wijziging
Privacy-instellingen`,pl:`Twoja prywatność, Twój wybór
Za Twoją zgodą używamy plików cookie i podobnych technik, aby mierzyć odwiedziny i wyświetlać trafne reklamy. Decyzję można zmienić w każdej chwili.
Zaakceptuj wszystko
Odrzuć wszystko
Ustawienia
Zapisz wybór
Wstecz
Niezbędne
Potrzebne do działania strony. Niczego nie udostępniamy.
Zawsze włączone
Analityka
Zlicza odwiedziny, aby ulepszać stronę. Bez udostępniania reklamodawcom.
Reklama
Wyświetla trafne reklamy i mierzy je wspólnie z naszymi partnerami.
Polityka prywatności
Zamknij bez zmian
Ustawienia prywatności`,pt:`A sua privacidade, a sua escolha
Com o seu consentimento, usamos cookies e técnicas semelhantes para medir visitas e mostrar publicidade relevante. Pode mudar de opinião a qualquer momento.
Aceitar tudo
Recusar tudo
Definições
Guardar escolha
Voltar
Necessários
Indispensáveis ao funcionamento do site. Nada é partilhado.
Sempre ativos
Estatísticas
Contam visitas para melhorar o site. Não são partilhadas com anunciantes.
Publicidade
Mostra publicidade relevante e mede-a, com os nossos parceiros.
Política de privacidade
Fechar sem alterar
Definições de privacidade`};function E(e){let t=Z[e]?.split(`
`);return t&&Object.fromEntries($.map((n,i)=>[n,t[i]]))}function H(e,t={}){for(let n of[...e,"en"]){let i=n.toLowerCase(),o=[i,i.split("-")[0]].find(r=>t[r]||Z[r]);if(o){let r=o.split("-")[0];return{code:o,words:Object.assign({},E(r)||E("en"),t[r],t[o])}}}return{code:"en",words:E("en")}}function ee(e){let{config:t,signals:n,tell:i,allowed:o}=e,{decide:r,cap:f}=O(e);R(n,()=>{});let{texts:d,language:g="en",privacy_url:l,hide_reopen:p}=t.banner||{},{code:_,words:w}=H([document.documentElement.lang,...navigator.languages,g].filter(Boolean),d),h,b,k=()=>{h?.close(),h=void 0,!p&&!b&&(b=L(w,_,u))},y=s=>{k(),r(s),D(s)},u=()=>{if(h)return h.focus();let s=C();i("shown"),b?.remove(),b=void 0,h=G({words:w,code:_,current:s,privacyURL:l,choose:z=>z?y(z):(k(),r(s||o()))})},S=()=>{let s=C();(s||o()!="none")&&(k(),r(s||"none"))};return{start(){C()?S():u()},set:s=>"gcm"in s?f(s):y(x(s.state,"full")),told:()=>({gcm:M(o())}),reread:S,reopen:u}}(window.miqParts=window.miqParts||{}).banner=ee;})();
