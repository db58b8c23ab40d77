{{- define "scimitar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "scimitar.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "scimitar.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "scimitar.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "scimitar.selector" -}}
app.kubernetes.io/name: {{ include "scimitar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "scimitar.labels" -}}
{{ include "scimitar.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "scimitar.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "scimitar.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "scimitar.configMap" -}}
{{- .Values.existingConfigMap | default (include "scimitar.fullname" .) -}}
{{- end -}}

{{- define "scimitar.claim" -}}
{{- .Values.ledger.existingClaim | default (include "scimitar.fullname" .) -}}
{{- end -}}

{{- define "scimitar.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* Whether there is a volume with a ledger on it, which lasts. */}}
{{- define "scimitar.hasClaim" -}}
{{- if and (eq .Values.ledger.type "sqlite") (ne .Values.mode "sidecar") -}}yes{{- end -}}
{{- end -}}

{{- define "scimitar.port" -}}
{{- ternary "scimitar" "http" (eq .Values.mode "sidecar") -}}
{{- end -}}

{{/* What no schema can say. */}}
{{- define "scimitar.checked" -}}
{{- if and (not .Values.config) (not .Values.existingConfigMap) -}}
{{- fail "set config to the text of scimitar.toml, or existingConfigMap to a ConfigMap that has it" -}}
{{- end -}}
{{- if and .Values.config .Values.existingConfigMap -}}
{{- fail "set either config or existingConfigMap, not both" -}}
{{- end -}}
{{- if .Values.config -}}
{{- $shared := regexMatch "(?m)^\\s*url\\s*=\\s*[\"']postgres(ql)?://" .Values.config -}}
{{- if and (eq .Values.ledger.type "postgres") (not $shared) -}}
{{- fail "ledger.type is postgres, and config has no [state] url = \"postgres://…\": each pod would keep a ledger of its own" -}}
{{- end -}}
{{- if and (eq .Values.ledger.type "sqlite") $shared -}}
{{- fail "config has its ledger in PostgreSQL: set ledger.type to postgres, and no volume is asked for" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "scimitar.pod" -}}
{{- include "scimitar.checked" . -}}
{{- $sidecar := eq .Values.mode "sidecar" -}}
{{- $port := include "scimitar.port" . -}}
serviceAccountName: {{ include "scimitar.serviceAccount" . }}
automountServiceAccountToken: {{ not (empty .Values.rbac.rules) }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and (eq .Values.mode "deployment") (gt (int .Values.replicas) 1) }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "scimitar.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
containers:
  {{- if $sidecar }}
  {{- toYaml .Values.sidecar.containers | nindent 2 }}
  {{- end }}
  - name: scimitar
    image: {{ include "scimitar.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [{{ ternary "--once" "run" (eq .Values.mode "cronjob") | quote }}]
    {{- with .Values.extraEnv }}
    env:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- if ne .Values.mode "cronjob" }}
    ports:
      - name: {{ $port }}
        containerPort: 9469
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: ["ALL"]
    resources:
      {{- toYaml .Values.resources | nindent 6 }}
    {{- if ne .Values.mode "cronjob" }}
    startupProbe:
      httpGet:
        path: /livez
        port: {{ $port }}
      periodSeconds: 2
      failureThreshold: 150
    {{- if not $sidecar }}
    readinessProbe:
      httpGet:
        path: /readyz
        port: {{ $port }}
      periodSeconds: 30
    {{- end }}
    livenessProbe:
      httpGet:
        path: /livez
        port: {{ $port }}
      periodSeconds: 60
      timeoutSeconds: 5
      failureThreshold: 3
    {{- end }}
    volumeMounts:
      - name: config
        mountPath: /etc/scimitar
        readOnly: true
      - name: secrets
        mountPath: /run/secrets/scimitar
        readOnly: true
      {{- range .Values.serviceAccountTokens }}
      - name: {{ .name }}
        mountPath: {{ .mountPath }}
        readOnly: true
      {{- end }}
      {{- if ne .Values.mode "cronjob" }}
      - name: run
        mountPath: /run
      {{- end }}
      {{- if or $sidecar (include "scimitar.hasClaim" .) }}
      - name: ledger
        mountPath: /var/lib/scimitar
      {{- end }}
      {{- if $sidecar }}
      - name: tokens
        mountPath: /run/scim
      {{- end }}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "scimitar.configMap" . }}
  - name: secrets
    secret:
      secretName: {{ .Values.secret.name }}
      # A secret that every user can read is refused.
      defaultMode: 0440
  {{- range .Values.serviceAccountTokens }}
  - name: {{ .name }}
    projected:
      defaultMode: 0440
      sources:
        - serviceAccountToken:
            path: token
            audience: {{ .audience | quote }}
            expirationSeconds: {{ .expirationSeconds | default 3600 | int }}
  {{- end }}
  {{- if ne .Values.mode "cronjob" }}
  # For the control socket.
  - name: run
    emptyDir:
      medium: Memory
      sizeLimit: 1Mi
  {{- end }}
  {{- if $sidecar }}
  - name: tokens
    emptyDir:
      medium: Memory
      sizeLimit: {{ .Values.sidecar.tokensSize }}
  - name: ledger
    emptyDir:
      sizeLimit: {{ .Values.sidecar.ledgerSize }}
  {{- else if include "scimitar.hasClaim" . }}
  - name: ledger
    persistentVolumeClaim:
      claimName: {{ include "scimitar.claim" . }}
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Labels and annotations of a pod. */}}
{{- define "scimitar.podMetadata" -}}
labels:
  {{- include "scimitar.labels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .Values.config .Values.podAnnotations }}
annotations:
  {{- with .Values.config }}
  # A changed configuration restarts the pods.
  checksum/config: {{ sha256sum . }}
  {{- end }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}
