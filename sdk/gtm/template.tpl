___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Pixel ({host})",
  "categories": ["ADVERTISING", "ANALYTICS", "CONVERSIONS"],
  "brand": { "id": "brand_dummy", "displayName": "Pixel" },
  "description": "Loads the pixel and gives it page views, events and what is known of the visitor. The pixel itself waits for consent, so this tag needs no consent settings of its own.",
  "containerContexts": ["WEB"]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "TEXT",
    "name": "pixelId",
    "displayName": "Pixel id",
    "simpleValueType": true,
    "defaultValue": "{pixel}",
    "valueValidators": [{ "type": "NON_EMPTY" }],
    "alwaysInSummary": true
  },
  {
    "type": "SELECT",
    "name": "command",
    "displayName": "What to do",
    "simpleValueType": true,
    "macrosInSelect": false,
    "defaultValue": "page",
    "alwaysInSummary": true,
    "selectItems": [
      { "value": "page", "displayValue": "Start, and count a page view (once a page)" },
      { "value": "track", "displayValue": "Track an event" },
      { "value": "identify", "displayValue": "Say who the visitor is" },
      { "value": "consent", "displayValue": "Say what the visitor agreed to" }
    ],
    "help": "Put a tag that starts the pixel on all pages. The others may fire before it: they wait for it."
  },
  {
    "type": "TEXT",
    "name": "event",
    "displayName": "Event name",
    "simpleValueType": true,
    "help": "By the GA4 names where there is one: purchase, add_to_cart, generate_lead. {{Event}} takes that of the trigger.",
    "enablingConditions": [{ "paramName": "command", "paramValue": "track", "type": "EQUALS" }],
    "valueValidators": [{ "type": "REGEX", "args": ["^[a-zA-Z][a-zA-Z0-9_.:-]{0,63}$"], "errorMessage": "Begin with a letter; then letters, digits and _ . : -, at most 64 in all." }]
  },
  {
    "type": "CHECKBOX",
    "name": "ecommerce",
    "checkboxText": "Take value, currency, items and transaction id from the data layer's ecommerce object",
    "simpleValueType": true,
    "defaultValue": true,
    "enablingConditions": [{ "paramName": "command", "paramValue": "track", "type": "EQUALS" }]
  },
  {
    "type": "SIMPLE_TABLE",
    "name": "properties",
    "displayName": "Properties",
    "simpleTableColumns": [
      { "defaultValue": "", "displayName": "Name", "name": "name", "type": "TEXT", "isUnique": true },
      { "defaultValue": "", "displayName": "Value", "name": "value", "type": "TEXT" }
    ],
    "newRowButtonText": "Add a property",
    "help": "Wins over what the data layer says. A variable keeps its type, so {{Value}} may be a number.",
    "enablingConditions": [
      { "paramName": "command", "paramValue": "page", "type": "EQUALS" },
      { "paramName": "command", "paramValue": "track", "type": "EQUALS" }
    ]
  },
  {
    "type": "TEXT",
    "name": "userId",
    "displayName": "Customer id",
    "simpleValueType": true,
    "enablingConditions": [{ "paramName": "command", "paramValue": "identify", "type": "EQUALS" }]
  },
  {
    "type": "TEXT",
    "name": "email",
    "displayName": "E-mail address",
    "simpleValueType": true,
    "help": "Plain, or as its SHA-256. The collector hashes it before it is stored.",
    "enablingConditions": [{ "paramName": "command", "paramValue": "identify", "type": "EQUALS" }]
  },
  {
    "type": "TEXT",
    "name": "phone",
    "displayName": "Phone number",
    "simpleValueType": true,
    "help": "With its country code, +44 20 7946 0000. The collector hashes it before it is stored.",
    "enablingConditions": [{ "paramName": "command", "paramValue": "identify", "type": "EQUALS" }]
  },
  {
    "type": "SELECT",
    "name": "state",
    "displayName": "The visitor agreed to",
    "simpleValueType": true,
    "macrosInSelect": true,
    "defaultValue": "none",
    "selectItems": [
      { "value": "full", "displayValue": "analytics and advertising" },
      { "value": "partial", "displayValue": "analytics only" },
      { "value": "none", "displayValue": "nothing" }
    ],
    "help": "Only where the site's own banner speaks none of TCF, GPP, US privacy and Google Consent Mode, which the pixel reads itself.",
    "enablingConditions": [{ "paramName": "command", "paramValue": "consent", "type": "EQUALS" }]
  }
]


___SANDBOXED_JS_FOR_WEB_TEMPLATE___

const callInWindow = require('callInWindow');
const copyFromDataLayer = require('copyFromDataLayer');
const copyFromWindow = require('copyFromWindow');
const createArgumentsQueue = require('createArgumentsQueue');
const injectScript = require('injectScript');
const logToConsole = require('logToConsole');
const makeTableMap = require('makeTableMap');
const queryPermission = require('queryPermission');
const setInWindow = require('setInWindow');

const url = '{script}';

// Until the script is there, a queue takes the commands; afterwards it is the
// script's own function.
const miq = (a, b, c) => callInWindow('miq', a, b, c);
if (!copyFromWindow('miq')) createArgumentsQueue('miq', 'miq.q');

// The first tag that fires starts the pixel, whichever it is.
if (!copyFromWindow('miqStarted')) {
  setInWindow('miqStarted', true, true);
  miq('init', data.pixelId);
}

const properties = (from) => {
  const all = {};
  const copy = (source) => {
    for (const name in source) {
      if (source[name] !== undefined && source[name] !== '') all[name] = source[name];
    }
  };
  copy(from);
  copy(data.properties && data.properties.length ? makeTableMap(data.properties, 'name', 'value') : {});
  return all;
};

if (data.command === 'page') {
  miq('page', properties({}));
} else if (data.command === 'track') {
  miq('track', data.event, properties(data.ecommerce ? copyFromDataLayer('ecommerce', 1) : {}));
} else if (data.command === 'identify') {
  const who = {};
  if (data.userId) who.user_id = data.userId;
  if (data.email) who.email = data.email;
  if (data.phone) who.phone = data.phone;
  miq('identify', who);
} else if (data.command === 'consent') {
  miq('consent', { state: data.state });
}

if (queryPermission('inject_script', url)) {
  injectScript(url, data.gtmOnSuccess, data.gtmOnFailure, url);
} else {
  logToConsole('Pixel: this template may not load ' + url);
  data.gtmOnFailure();
}


___WEB_PERMISSIONS___

[
  {
    "instance": {
      "key": { "publicId": "access_globals", "versionId": "1" },
      "param": [
        {
          "key": "keys",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "key" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" },
                  { "type": 1, "string": "execute" }
                ],
                "mapValue": [
                  { "type": 1, "string": "miq" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "key" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" },
                  { "type": 1, "string": "execute" }
                ],
                "mapValue": [
                  { "type": 1, "string": "miq.q" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  { "type": 1, "string": "key" },
                  { "type": 1, "string": "read" },
                  { "type": 1, "string": "write" },
                  { "type": 1, "string": "execute" }
                ],
                "mapValue": [
                  { "type": 1, "string": "miqStarted" },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": true },
                  { "type": 8, "boolean": false }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "inject_script", "versionId": "1" },
      "param": [
        { "key": "urls", "value": { "type": 2, "listItem": [{ "type": 1, "string": "{script}" }] } }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "read_data_layer", "versionId": "1" },
      "param": [
        { "key": "allowedKeys", "value": { "type": 1, "string": "specific" } },
        { "key": "keyPatterns", "value": { "type": 2, "listItem": [{ "type": 1, "string": "ecommerce" }] } }
      ]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  },
  {
    "instance": {
      "key": { "publicId": "logging", "versionId": "1" },
      "param": [{ "key": "environments", "value": { "type": 1, "string": "debug" } }]
    },
    "clientAnnotations": { "isEditedByUser": true },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: A page view starts the pixel once
  code: |-
    mock('copyFromWindow', undefined);
    mock('createArgumentsQueue', () => () => {});
    mock('injectScript', (url, success) => success());
    runCode({ pixelId: 'px_1', command: 'page' });
    assertApi('callInWindow').wasCalledWith('miq', 'init', 'px_1', undefined);
    assertApi('callInWindow').wasCalledWith('miq', 'page', {}, undefined);
    assertApi('gtmOnSuccess').wasCalled();
- name: An event is tracked with its properties
  code: |-
    mock('copyFromWindow', () => true);
    mock('copyFromDataLayer', { value: 99.5, currency: 'GBP' });
    mock('injectScript', (url, success) => success());
    runCode({ pixelId: 'px_1', command: 'track', event: 'purchase', ecommerce: true, properties: [{ name: 'currency', value: 'EUR' }] });
    assertApi('callInWindow').wasCalledWith('miq', 'track', 'purchase', { value: 99.5, currency: 'EUR' });


___NOTES___

Made by the console for {origin}. A template of another collector needs a file of its own, since this one may load no other script.
