"""Kubernetes' Pod Security Standard "restricted", and what the platform asks for beyond it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from typing import Any

VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
    "projected", "secret",
}  # fmt: skip


def problems(spec: dict[str, Any]) -> list[str]:
    """What is not restricted in a pod's spec, in words."""
    pod = spec.get("securityContext", {})
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    found += [
        f"volume of {kind}"
        for volume in spec.get("volumes", [])
        for kind in set(volume) - {"name"} - VOLUMES
    ]
    found += ["sysctls"] * bool(pod.get("sysctls"))
    found += ["unknown containers"] * bool(spec.get("ephemeralContainers"))
    for container in spec.get("initContainers", []) + spec["containers"]:
        own = container.get("securityContext", {})
        both = pod | own
        capabilities = own.get("capabilities", {})
        checks = {
            "privileged": not own.get("privileged"),
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities.drop": capabilities.get("drop") == ["ALL"],
            "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": both.get("runAsNonRoot") is True,
            "runAsUser": both.get("runAsUser", 1) != 0,
            "seccompProfile": both.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "procMount": own.get("procMount", "Default") == "Default",
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
            # Beyond the standard.
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "resources.requests": set(container["resources"]["requests"]) == {"cpu", "memory"},
            "resources.limits": "memory" in container["resources"]["limits"],
        }
        found += [f"{container['name']}: {what}" for what, fine in checks.items() if not fine]
    found += ["service account token"] * (spec.get("automountServiceAccountToken") is not False)
    found += ["service links"] * (spec.get("enableServiceLinks") is not False)
    return found
