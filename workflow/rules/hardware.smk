"""What is in the machine, and how fast its memory is."""

RECORDS["hardware"] = "<results>/records/hardware/device-{device}.json"
RECORDS["bandwidth"] = "<results>/records/bandwidth/device-{device}/occasion-{occasion}.json"


use rule measure_alone as measure_hardware with:
    """Probe one device: caches, memory, buses, limits."""
    input:
        script="<scripts>/measure_hardware.py",
        library=sources("measure_hardware.py"),
    output:
        RECORDS["hardware"],
    log:
        "<logs>/hardware/device-{device}.log",
    params:
        settings=settings("hardware"),


use rule measure_alone as measure_bandwidth with:
    """Time memory and caches by working set, and the way between host and device."""
    input:
        script="<scripts>/measure_bandwidth.py",
        library=sources("measure_bandwidth.py"),
    output:
        RECORDS["bandwidth"],
    log:
        "<logs>/bandwidth/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("bandwidth"),
