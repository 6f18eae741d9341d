"""The stages of the computation of one scan: functions from arrays to arrays, without any storage.

Detection of the vertebrae is published in arXiv:2007.02606, their labelling and the grading of the discs in
arXiv:2205.01683 (SpineNetV2). Each constant names its paper and the part of it; where a paper leaves a value
open, it is the one with which the published outputs are reproduced.
"""
