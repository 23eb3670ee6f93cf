{{/* Rejects values that do not work together, with all problems in one message. */}}
{{- define "face-liveness-facade.checks" -}}
{{- $problems := list -}}
{{- $grace := include "face-liveness-facade.leastGracePeriod" . | int64 -}}
{{- if and .Values.terminationGracePeriodSeconds (lt (int64 .Values.terminationGracePeriodSeconds) $grace) -}}
{{- $problems = append $problems (printf "terminationGracePeriodSeconds is %d, but a shutdown takes up to %d s: config.drainDelay, config.drainTimeout and 5 s. Set at least that, or remove the value" (int64 .Values.terminationGracePeriodSeconds) $grace) -}}
{{- end -}}
{{- $memory := include "face-liveness-facade.leastMemory" . | int64 -}}
{{- with dig "limits" "memory" "" .Values.resources -}}
{{- $given := include "face-liveness-facade.scalar" . -}}
{{- if lt (include "face-liveness-facade.bytes" $given | int64) (mul $memory 1048576) -}}
{{- $problems = append $problems (printf "resources.limits.memory is %s, but the pod can need %dMi: raise the limit, or lower config.imageCacheSize, resultCacheEntries, maxRequests or maxConnections" $given $memory) -}}
{{- end -}}
{{- end -}}
{{- $limit := dig "limits" "memory" (printf "%dMi" $memory) .Values.resources -}}
{{- with dig "requests" "memory" "" .Values.resources -}}
{{- if gt (include "face-liveness-facade.scalar" . | include "face-liveness-facade.bytes" | int64) (include "face-liveness-facade.scalar" $limit | include "face-liveness-facade.bytes" | int64) -}}
{{- $problems = append $problems (printf "resources.requests.memory is %v, above the limit of %v: set resources.limits.memory, too" . $limit) -}}
{{- end -}}
{{- end -}}
{{- $options := .Files.Get "files/options.json" | fromJson -}}
{{- $durations := merge (dict "sharedCacheTimeout" .Values.sharedCache.timeout) .Values.config -}}
{{- range $name, $option := $options -}}
{{- $value := get $durations $name -}}
{{- if and $value $option.maximum -}}
{{- $given := include "face-liveness-facade.milliseconds" $value | float64 -}}
{{- $path := eq $name "sharedCacheTimeout" | ternary "sharedCache.timeout" (printf "config.%s" $name) -}}
{{- range $bound, $word := dict "minimum" "at least" "maximum" "at most" -}}
{{- with get $option $bound -}}
{{- $limit := include "face-liveness-facade.milliseconds" . | float64 -}}
{{- if eq $bound "minimum" | ternary (lt $given $limit) (gt $given $limit) -}}
{{- $problems = append $problems (printf "%s is %s, but must be %s %s" $path $value $word .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $option := list "allowedClients" "imageClients" -}}
{{- range get $.Values.config $option | default list | include "face-liveness-facade.scalar" | splitList "," -}}
{{- if eq (include "face-liveness-facade.isClientName" .) "false" -}}
{{- $problems = append $problems (printf "config.%s has %q, which is no client's name: use a DNS name, or a SPIFFE id with the trust domain in lower case and without empty, . and .. segments" $option .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.tls -}}
{{- $secrets := list (ternary "x" "" .certificate.enabled) .existingSecret | compact | len -}}
{{- $cas := list .clientCa.existingSecret .clientCa.existingConfigMap | compact | len -}}
{{- if and .enabled (ne $secrets 1) -}}
{{- $problems = append $problems "tls.enabled needs either tls.existingSecret or tls.certificate.enabled" -}}
{{- end -}}
{{- if and (not .enabled) (or $secrets $cas) -}}
{{- $problems = append $problems "tls.existingSecret, tls.certificate and tls.clientCa have no effect without tls.enabled" -}}
{{- end -}}
{{- if gt $cas 1 -}}
{{- $problems = append $problems "tls.clientCa has either existingSecret or existingConfigMap" -}}
{{- end -}}
{{- if and .enabled .certificate.enabled (not .certificate.issuerRef.name) -}}
{{- $problems = append $problems "tls.certificate needs issuerRef.name" -}}
{{- end -}}
{{- if and (or $.Values.config.allowedClients $.Values.config.imageClients) (not $cas) (ne (include "face-liveness-facade.option" (list $ "clientIdentity")) "xfcc") -}}
{{- $problems = append $problems "config.allowedClients and config.imageClients need client names: set tls.clientCa, or config.clientIdentity to xfcc behind Istio" -}}
{{- end -}}
{{- if and .enabled $.Values.mesh.istio.enabled -}}
{{- $problems = append $problems "tls.enabled hides the calls from mesh.istio: enable only one of them" -}}
{{- end -}}
{{- if and $.Values.tests.grpcurlImage (or $cas $.Values.mesh.istio.authorizationPolicy.enabled) -}}
{{- $problems = append $problems "tests.grpcurlImage calls without a client identity, which tls.clientCa and mesh.istio.authorizationPolicy reject" -}}
{{- end -}}
{{- end -}}
{{- with .Values.sharedCache -}}
{{- $cas := list .ca.existingSecret .ca.existingConfigMap | compact | len -}}
{{- if and .url (not .key.existingSecret) -}}
{{- $problems = append $problems "sharedCache.url needs sharedCache.key.existingSecret: all values are encrypted. Create the secret with kubectl create secret generic NAME --from-literal=shared-cache-key=\"$(openssl rand -base64 32)\"" -}}
{{- end -}}
{{- if and (not .url) (or .key.existingSecret .auth.existingSecret $cas .timeout .images) -}}
{{- $problems = append $problems "sharedCache.key, auth, ca, timeout and images have no effect without sharedCache.url" -}}
{{- end -}}
{{- if and .auth.existingSecret (not .auth.passwordKey) (not .auth.usernameKey) -}}
{{- $problems = append $problems "sharedCache.auth.existingSecret needs passwordKey or usernameKey" -}}
{{- end -}}
{{- if gt $cas 1 -}}
{{- $problems = append $problems "sharedCache.ca has either existingSecret or existingConfigMap" -}}
{{- end -}}
{{- if and $cas .url (not (hasPrefix "rediss://" .url)) -}}
{{- $problems = append $problems "sharedCache.ca needs a sharedCache.url that begins with rediss://" -}}
{{- end -}}
{{- end -}}
{{- with .Values.mesh -}}
{{- if and .istio.enabled .linkerd.enabled -}}
{{- $problems = append $problems "mesh.istio and mesh.linkerd exclude each other" -}}
{{- end -}}
{{- if and .istio.authorizationPolicy.enabled (not .istio.authorizationPolicy.principals) -}}
{{- $problems = append $problems "mesh.istio.authorizationPolicy needs principals, because otherwise no client could call" -}}
{{- end -}}
{{- if and .istio.serviceEntry.enabled (not $.Values.aws.region) -}}
{{- $problems = append $problems "mesh.istio.serviceEntry needs aws.region" -}}
{{- end -}}
{{- if and (not .istio.enabled) (or .istio.authorizationPolicy.enabled .istio.serviceEntry.enabled) -}}
{{- $problems = append $problems "mesh.istio.authorizationPolicy and mesh.istio.serviceEntry need mesh.istio.enabled" -}}
{{- end -}}
{{- end -}}
{{- if eq (int .Values.ports.grpc) (int .Values.ports.admin) -}}
{{- $problems = append $problems "ports.grpc and ports.admin must differ" -}}
{{- end -}}
{{- if and .Values.service.headless (ne .Values.service.type "ClusterIP") -}}
{{- $problems = append $problems "service.headless needs service.type ClusterIP" -}}
{{- end -}}
{{- with .Values.service.trafficDistribution -}}
{{- if $.Values.service.headless -}}
{{- $problems = append $problems "service.trafficDistribution has no effect with service.headless, where clients choose the pod" -}}
{{- end -}}
{{- $since := eq . "PreferClose" | ternary "1.31" "1.34" -}}
{{- if semverCompare (printf "<%s.0-0" $since) $.Capabilities.KubeVersion.Version -}}
{{- $problems = append $problems (printf "service.trafficDistribution %s needs Kubernetes %s, and this is %s" . $since $.Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- end -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (lt (int .maxReplicas) (int .minReplicas)) -}}
{{- $problems = append $problems "autoscaling.maxReplicas is below minReplicas" -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n- %s" (join "\n- " .)) -}}
{{- end -}}
{{- end -}}

{{/* The grammar of SPIFFE ids, as in src/config/value.rs. The schema checks all other names. */}}
{{- define "face-liveness-facade.isClientName" -}}
{{- $segment := "([A-Za-z0-9_-]|\\.[A-Za-z0-9_-]|\\.\\.[A-Za-z0-9._-])[A-Za-z0-9._-]*" -}}
{{- $id := printf "^spiffe://([a-z0-9._-]*\\*|[a-z0-9._-]+(/%s)*(/[A-Za-z0-9._-]*\\*)?)$" $segment -}}
{{- ne . "." | and (or (not (regexMatch "^(?i)spiffe:" .)) (regexMatch $id .)) -}}
{{- end -}}
