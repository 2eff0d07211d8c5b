"""The claim, by comparing two formats; then one format with itself."""

peaks = {  # FLOP/s of data sheets, dense
    ("GeForce GTX 980", 2014, "float32"): 4.61e12,
    ("B200", 2024, "float32"): 80e12,
    ("B200", 2024, "fp4"): 9e15,
}
before = peaks["GeForce GTX 980", 2014, "float32"]
print("fp4 against float32:", round(peaks["B200", 2024, "fp4"] / before), "times")  # wrong
print("float32 against float32:", round(peaks["B200", 2024, "float32"] / before), "times")
