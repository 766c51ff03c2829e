"""Schemas of the custom resources, as far as they are used here: any other field is an error."""

from typing import Any

_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_DURATION = {"type": "string", "pattern": r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"}
_LABELS = {"type": "object", "additionalProperties": _TEXT}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


def _resource(api_version: str, kind: str, spec: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    metadata = _object({"name": _TEXT, "namespace": _TEXT}, {"labels": _LABELS, "annotations": _LABELS})
    schema = _object(
        {"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": metadata, "spec": spec}
    )
    return {(api_version, kind): schema}


_POLICY = _object({"type": {"enum": ["Percent", "Pods"]}, "value": _COUNT, "periodSeconds": _COUNT})
_SCALING = _object({"stabilizationWindowSeconds": _COUNT, "policies": _list(_POLICY)})
_PROMETHEUS = _object(
    {
        "type": {"const": "prometheus"},
        "metricType": {"const": "AverageValue"},
        "metadata": _object({"serverAddress": _TEXT, "query": _TEXT, "threshold": _TEXT}),
    }
)

SCHEMAS = {
    **_resource(
        "keda.sh/v1alpha1",
        "ScaledObject",
        _object(
            {
                "scaleTargetRef": _object({"apiVersion": _TEXT, "kind": _TEXT, "name": _TEXT}),
                "minReplicaCount": _COUNT,
                "maxReplicaCount": _COUNT,
                "triggers": _list(_PROMETHEUS),
            },
            {
                "pollingInterval": _COUNT,
                "fallback": _object({"failureThreshold": _COUNT, "replicas": _COUNT}, {"behavior": _TEXT}),
                "advanced": _object(
                    {
                        "horizontalPodAutoscalerConfig": _object(
                            {"behavior": _object({"scaleUp": _SCALING, "scaleDown": _SCALING})}
                        )
                    }
                ),
            },
        ),
    ),
    **_resource(
        "gateway.networking.k8s.io/v1",
        "GRPCRoute",
        _object(
            {
                "parentRefs": _list(_object({"name": _TEXT, "namespace": _TEXT})),
                "rules": _list(
                    # No `timeouts`: the API has none for gRPC.
                    _object(
                        {
                            "matches": _list(_object({"method": _object({"type": _TEXT, "service": _TEXT})})),
                            "backendRefs": _list(_object({"name": _TEXT, "port": _COUNT})),
                        }
                    )
                ),
            },
            {"hostnames": _list(_TEXT)},
        ),
    ),
    **_resource(
        "gateway.envoyproxy.io/v1alpha1",
        "BackendTrafficPolicy",
        _object(
            {
                "targetRefs": _list(_object({"group": _TEXT, "kind": _TEXT, "name": _TEXT})),
                "timeout": _object(
                    {
                        "http": _object(
                            {"requestTimeout": _DURATION, "maxStreamDuration": _DURATION},
                            {"streamIdleTimeout": _DURATION},
                        )
                    }
                ),
            },
            {"loadBalancer": _object({"type": {"enum": ["LeastRequest", "RoundRobin", "Random"]}})},
        ),
    ),
    **_resource(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        _object(
            {
                "selector": _object({"matchLabels": _LABELS}),
                "podMetricsEndpoints": _list(_object({"port": _TEXT}, {"interval": _DURATION, "path": _TEXT})),
            }
        ),
    ),
}
