{{- define "energymarket.labels" -}}
app.kubernetes.io/name: energymarket
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "energymarket.selector" -}}
app.kubernetes.io/name: energymarket
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "energymarket.claim" -}}
{{ .Values.data.existingClaim | default (printf "%s-data" .Release.Name) }}
{{- end }}

{{/* What every pod shares, under spec. */}}
{{- define "energymarket.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Always would open the operator's keys to the group at each start, and the application refuses such keys.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: data
    persistentVolumeClaim: {claimName: {{ include "energymarket.claim" . }}}
  - name: tmp
    emptyDir: {}
  {{- if ne .Values.ledger.name "embedded" }}
  - name: ledger
    secret:
      secretName: {{ required "ledger.secret: which Secret holds options.json?" .Values.ledger.secret }}
      defaultMode: 0440
  {{- end }}
{{- end }}

{{/* What every container shares. */}}
{{- define "energymarket.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: data, mountPath: /data}
  - {name: tmp, mountPath: /tmp}
  {{- if ne .Values.ledger.name "embedded" }}
  - {name: ledger, mountPath: /ledger, readOnly: true}
  {{- end }}
env:
  - {name: ENERGYMARKET_LEDGER, value: {{ .Values.ledger.name | quote }}}
  {{- if ne .Values.ledger.name "embedded" }}
  - {name: ENERGYMARKET_LEDGER_OPTIONS, value: /ledger/options.json}
  {{- end }}
  - {name: ENERGYMARKET_DATA_DIR, value: /data}
  - {name: ENERGYMARKET_ALLOWED_HOSTS, value: {{ .Values.host | quote }}}
  - {name: ENERGYMARKET_CSRF_TRUSTED_ORIGINS, value: "https://{{ .Values.host }}"}
  - {name: ENERGYMARKET_BEHIND_PROXY, value: "true"}
  {{- with .Values.email }}
  - {name: ENERGYMARKET_EMAIL_HOST, value: {{ .host | quote }}}
  - {name: ENERGYMARKET_EMAIL_FROM, value: {{ .from | quote }}}
  {{- if .secret }}
  - name: ENERGYMARKET_EMAIL_USER
    valueFrom: {secretKeyRef: {name: {{ .secret }}, key: user}}
  - name: ENERGYMARKET_EMAIL_PASSWORD
    valueFrom: {secretKeyRef: {name: {{ .secret }}, key: password}}
  {{- end }}
  {{- end }}
  {{- $secret := required "secret: which Secret holds the four secrets of values.yaml?" .Values.secret }}
  - name: ENERGYMARKET_SECRET_KEY
    valueFrom: {secretKeyRef: {name: {{ $secret }}, key: secret-key}}
  - name: ENERGYMARKET_CUSTODY_KEY
    valueFrom: {secretKeyRef: {name: {{ $secret }}, key: custody-key}}
  - name: DATABASE_URL
    valueFrom: {secretKeyRef: {name: {{ $secret }}, key: database-url}}
  - name: REDIS_URL
    valueFrom: {secretKeyRef: {name: {{ $secret }}, key: redis-url}}
{{- end }}

{{/* Waits for the migrations of this version: the Job runs beside the first pods. */}}
{{- define "energymarket.migrated" -}}
- name: migrated
  command: [/bin/sh, -c, "until python manage.py migrate --check; do sleep 2; done"]
  {{- include "energymarket.container" . | nindent 2 }}
{{- end }}
