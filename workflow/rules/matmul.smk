"""Matrix products."""

RECORDS["alignment"] = "<results>/records/alignment/device-{device}/n-{n}/occasion-{occasion}.json"
RECORDS["crossover"] = "<results>/records/crossover/device-{device}/n-{n}/occasion-{occasion}.json"
RECORDS["two_devices"] = (
    "<results>/records/two_devices/device-{device}/n-{n}/occasion-{occasion}.json"
)
RECORDS["norm_log"] = "<results>/records/norm_log/device-{device}/occasion-{occasion}.json"
RECORDS["contrast"] = "<results>/records/contrast/device-{device}/occasion-{occasion}.json"


use rule measure_alone as measure_alignment with:
    """Time the products of one size against those of the anchor."""
    input:
        script="<scripts>/measure_alignment.py",
        library=sources("measure_alignment.py"),
    output:
        RECORDS["alignment"],
    log:
        "<logs>/alignment/device-{device}/n-{n}/occasion-{occasion}.log",
    params:
        settings=settings("alignment"),


use rule measure_alone as measure_crossover with:
    """Time one size in every way to compute it: the devices, the threads, the transfer."""
    input:
        script="<scripts>/measure_crossover.py",
        library=sources("measure_crossover.py"),
    output:
        RECORDS["crossover"],
    log:
        "<logs>/crossover/device-{device}/n-{n}/occasion-{occasion}.log",
    params:
        settings=settings("crossover"),


use rule measure_alone as measure_two_devices with:
    """Time two products on two devices at once against one after the other."""
    input:
        script="<scripts>/measure_two_devices.py",
        library=sources("measure_two_devices.py"),
    output:
        RECORDS["two_devices"],
    log:
        "<logs>/two_devices/device-{device}/n-{n}/occasion-{occasion}.log",
    params:
        settings=settings_of_pair,


use rule measure_alone as measure_norm_log with:
    """Time all ways to keep a log of norms."""
    input:
        script="<scripts>/measure_norm_log.py",
        library=sources("measure_norm_log.py"),
    output:
        RECORDS["norm_log"],
    log:
        "<logs>/norm_log/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("norm_log"),


use rule measure_alone as measure_contrast with:
    """Time the sizes that decide on alignment in the same rounds."""
    input:
        script="<scripts>/measure_contrast.py",
        library=sources("measure_contrast.py"),
    output:
        RECORDS["contrast"],
    log:
        "<logs>/contrast/device-{device}/occasion-{occasion}.log",
    params:
        settings=settings("contrast"),
