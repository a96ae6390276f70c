"""The scores of translators as text: tables, and lines that people compare. What is scored is in `translation.py`."""

HEAD = f"{'':16}{'L1':>9}{'PSNR':>9}{'SSIM':>9}{'sharpness':>11}"


def table(scores: dict[str, dict]) -> str:
    """Of one direction: translators by name, their baselines and the truth, a row each; nothing without a truth."""
    first = next(iter(scores.values()))
    if "l1" not in first:
        return ""
    rows = [_row(name, measures) for name, measures in (scores | first["baselines"]).items()]
    head = HEAD + (f"{'PSNR Y':>9}" if "psnr_y" in first else "")
    return "\n".join([head, *rows, f"{'truth':43}{first['sharpness_truth']:11.5f}"])


def _row(name: str, scores: dict) -> str:
    numbers = f"{scores['l1']:9.4f}{scores['psnr']:9.2f}{scores['ssim']:9.4f}{scores['sharpness']:11.5f}"
    return f"{name[:15]:16}{numbers}" + (f"{scores['psnr_y']:9.2f}" if "psnr_y" in scores else "")


def line(name: str, scores: dict) -> str:
    """One direction or translator in one line: every measure beside what it is to be compared with."""
    parts = []
    if "l1" in scores:
        ratio = "" if scores["ratio"] is None else f" ({scores['ratio']:.2f} of {scores['best_baseline']})"
        parts += [f"L1 {scores['l1']:.4f}{ratio}", f"PSNR {scores['psnr']:.2f} dB", f"SSIM {scores['ssim']:.4f}"]
    parts += [f"sharpness {scores['sharpness']:.4f} (real {scores['sharpness_truth']:.4f})"]
    if "cycle_l1" in scores:
        parts += [f"there and back L1 {scores['cycle_l1']:.4f}"]
    if "target_rate" in scores:
        parts += [f"seen as the target {scores['target_rate']:.1%} (judge right on {scores['judge_accuracy']:.1%})"]
    if "frechet" in scores:
        parts += [f"{scores['features']}-Frechet {scores['frechet']:.2f} (floor {scores['frechet_floor']:.2f})"]
    if "labels" in scores:
        parts += [_labels(scores["labels"])]
    return f"{name}: " + " | ".join([*parts, f"N={scores['pictures']:,}"])


def overall(scores: dict[str, dict]) -> str:
    """All directions in one line: how many translations the judge sees as what they should be; nothing without one."""
    rated = [each for each in scores.values() if "target_rate" in each]
    if len(rated) < 2:
        return ""
    pictures = sum(each["pictures"] for each in rated)
    right = sum(each["target_rate"] * each["pictures"] for each in rated)
    return f"overall: seen as the target {right / pictures:.1%} | N={pictures:,}"


def _labels(scores: dict) -> str:
    """How well label maps are met; of photos made from maps, as the segmenter sees them, real ones in brackets."""
    names, real = {"pixel_accuracy": "pixels", "class_accuracy": "classes", "class_iou": "IoU"}, scores.get("real")
    parts = [f"{name} {scores[k]:.3f}" + (f" (real {real[k]:.3f})" if real else "") for k, name in names.items()]
    return f"{'FCN score' if real else 'labels'}: " + ", ".join(parts)


def heading(name: str, scores: dict) -> list[str]:
    """The name and the main scores, a line each, for above a column of pictures."""
    if "l1" in scores:
        lines = [f"L1 {scores['l1']:.4f}", f"PSNR {scores['psnr']:.2f}", f"SSIM {scores['ssim']:.4f}"]
    else:
        lines = [f"home L1 {scores['cycle_l1']:.4f}"] if "cycle_l1" in scores else []
        lines += [f"target {scores['target_rate']:.1%}"] if "target_rate" in scores else []
    lines += [f"IoU {scores['labels']['class_iou']:.3f}"] if "labels" in scores else []
    return [name, *lines, f"sharpness {scores['sharpness']:.4f}"]
