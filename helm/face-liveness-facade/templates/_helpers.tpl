{{/* Names, labels, image. */}}

{{- define "face-liveness-facade.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{/* 53 characters, so that a name with the longest suffix fits the 63 characters of a label. */}}
{{- define "face-liveness-facade.fullname" -}}
{{- $name := include "face-liveness-facade.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 53 | trimSuffix "-" -}}
{{- end -}}

{{- define "face-liveness-facade.adminName" -}}
{{- include "face-liveness-facade.fullname" . }}-admin
{{- end -}}

{{- define "face-liveness-facade.serviceAccountName" -}}
{{- $made := include "face-liveness-facade.fullname" . -}}
{{- .Values.serviceAccount.name | default (ternary $made "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "face-liveness-facade.tlsSecret" -}}
{{- if .Values.tls.certificate.enabled }}{{ include "face-liveness-facade.fullname" . }}-tls
{{- else }}{{ .Values.tls.existingSecret }}
{{- end }}
{{- end -}}

{{- define "face-liveness-facade.selectorLabels" -}}
app.kubernetes.io/name: {{ include "face-liveness-facade.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Labels of an object: (list . COMPONENT), or those of the server. */}}
{{- define "face-liveness-facade.labels" -}}
{{- $root := . -}}{{- $component := "server" -}}
{{- if kindIs "slice" . -}}{{- $root = first . -}}{{- $component = last . -}}{{- end -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/name" (include "face-liveness-facade.name" $root)
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" (include "face-liveness-facade.version" $root)
  "app.kubernetes.io/component" $component
  "app.kubernetes.io/part-of" "face-liveness-facade"
  "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- toYaml (merge $own $root.Values.commonLabels) -}}
{{- end -}}

{{/* A tag can be longer than a label, and can have characters that are invalid in labels. */}}
{{- define "face-liveness-facade.version" -}}
{{- .Values.image.tag | default .Chart.AppVersion | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{- define "face-liveness-facade.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}
