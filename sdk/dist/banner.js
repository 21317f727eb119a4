"use strict";(()=>{var k=Object.defineProperty;var v=Object.getOwnPropertySymbols;var S=Object.prototype.hasOwnProperty,B=Object.prototype.propertyIsEnumerable;var w=(t,e,o)=>e in t?k(t,e,{enumerable:!0,configurable:!0,writable:!0,value:o}):t[e]=o,m=(t,e)=>{for(var o in e||(e={}))S.call(e,o)&&w(t,o,e[o]);if(v)for(var o of v(e))B.call(e,o)&&w(t,o,e[o]);return t};var h=`:host {
  all: initial !important;
  position: fixed !important;
  inset: auto auto 24px 24px !important;
  z-index: 2147483647 !important;
  width: min(420px, calc(100vw - 48px)) !important;
  color-scheme: light dark !important;
}
section {
  --paper: #fff;
  --ink: #14161a;
  --soft: #545b66;
  --line: #e3e6ea;
  --fill: #14161a;
  --on-fill: #fff;
  --hover: #2e333b;
  --tint: #f3f4f6;
  --focus: #2563eb;
  box-sizing: border-box;
  position: relative;
  max-height: calc(100vh - 48px);
  overflow: auto;
  padding: 24px;
  border: 1px solid var(--line);
  border-radius: 16px;
  outline: 0;
  background: var(--paper);
  color: var(--ink);
  box-shadow: 0 1px 2px rgb(0 0 0 / 0.06), 0 16px 48px -8px rgb(0 0 0 / 0.22);
  font: 400 14px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  text-align: start;
  -webkit-font-smoothing: antialiased;
}
h2 {
  margin: 0 0 8px;
  padding-inline-end: 24px;
  font: inherit;
  font-size: 17px;
  font-weight: 650;
  line-height: 1.3;
  letter-spacing: -0.01em;
}
p {
  margin: 0 0 20px;
  color: var(--soft);
}
a {
  color: var(--ink);
  text-underline-offset: 3px;
  white-space: nowrap;
}
div {
  display: grid;
  grid-template-columns: 1fr 1fr;
  gap: 8px;
}
button {
  min-height: 44px;
  padding: 8px 16px;
  border: 1px solid transparent;
  border-radius: 10px;
  background: var(--fill);
  color: var(--on-fill);
  font: inherit;
  font-weight: 600;
  cursor: pointer;
  transition: background-color 0.15s;
}
button:hover {
  background: var(--hover);
}
button.quiet {
  grid-column: 1 / -1;
  border-color: var(--line);
  background: transparent;
  color: var(--ink);
}
button.quiet:hover,
button.close:hover {
  background: var(--tint);
}
button.close {
  position: absolute;
  top: 12px;
  inset-inline-end: 12px;
  min-height: 36px;
  width: 36px;
  padding: 0;
  background: transparent;
  color: var(--soft);
  font-size: 22px;
  font-weight: 400;
  line-height: 1;
}
button[aria-pressed="true"]::before {
  content: "✓ ";
}
:focus-visible:not(section) {
  outline: 2px solid var(--focus);
  outline-offset: 2px;
}
@media (prefers-color-scheme: dark) {
  section {
    --paper: #1b1e24;
    --ink: #f3f4f6;
    --soft: #a9b1bd;
    --line: #343a44;
    --fill: #f3f4f6;
    --on-fill: #14161a;
    --hover: #d5d9df;
    --tint: #272b33;
    --focus: #7aa7ff;
  }
}
@media (max-width: 480px) {
  :host {
    inset: auto 12px 12px !important;
    width: auto !important;
  }
  section {
    max-height: calc(100vh - 24px);
    padding: 20px;
  }
}
@media (prefers-reduced-motion: no-preference) {
  section {
    animation: rise 0.28s cubic-bezier(0.2, 0.8, 0.2, 1);
  }
}
@keyframes rise {
  from {
    opacity: 0;
    transform: translateY(12px);
  }
}
`;var z={title:"Your privacy, your choice",body:"With your consent we use cookies to measure visits and to show you relevant advertising. You can change your mind at any time.",accept:"Accept all",refuse:"Refuse all",partial:"Analytics only",privacy:"Privacy policy",close:"Close without changes"};function E(t={}){let e=navigator.language.toLowerCase();return m(m({},z),t[e]||t[e.split("-")[0]]||t.en)}function a(t,e,...o){let s=document.createElement(t);for(let n of Object.keys(e))s.setAttribute(n,e[n]);return s.append(...o),s}function T(t){try{let e=new CSSStyleSheet;e.replaceSync(h),t.adoptedStyleSheets=[e]}catch(e){t.append(a("style",{},h))}}var A=({current:t,privacyURL:e,texts:o,choose:s})=>{let n=E(o),c=document.createElement("miq-consent"),b=c.attachShadow({mode:"closed"}),r=document.activeElement,x=()=>{var i;c.remove(),t&&((i=r==null?void 0:r.focus)==null||i.call(r))},l=i=>{x(),s(i)},d=(i,u,y)=>{let f=a("button",{type:"button",class:i},u);return t&&f.setAttribute("aria-pressed",""+(t==y)),f.onclick=()=>l(y),f},g=a("p",{id:"body"},n.body);e&&/^(https?:|\/)/i.test(e)&&g.append(" ",a("a",{href:e,target:"_blank",rel:"noopener"},n.privacy));let p=a("section",{role:"dialog","aria-labelledby":"title","aria-describedby":"body",tabindex:"-1"},a("h2",{id:"title"},n.title),g,a("div",{},d("main",n.refuse,"none"),d("main",n.accept,"full"),d("quiet",n.partial,"partial")));if(t){let i=a("button",{type:"button",class:"close","aria-label":n.close},"×");i.onclick=()=>l(),p.append(i),p.onkeydown=u=>u.key=="Escape"&&l()}return T(b),b.append(p),document.body.prepend(c),(t||!r||r==document.body)&&p.focus({preventScroll:!0}),x};window.miqBanner=A;})();
